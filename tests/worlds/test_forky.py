"""Checks that tests run on another Debian; and pods with users of their own (`hostUsers: false`).

Debian 13's runc 1.1 cannot start those. Such a pod has a network namespace of its own, for which
containerd asks plugins (CNI) and wants an address. Debian's plugins bring tens of MB, and what runs
in these pods sends nothing: so the plugin makes no network, it only tells an address. Source: the
CNI specification 1.1, "Section 2: Execution Protocol".

A runtime that is replaced while containerd runs: tests/unit/engines/test_engine_restart.py.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engines import images
from harness.engines.containerd import CRI_NAMESPACE, Containerd, Handler, containerd
from harness.engines.cri import FIRST_ID, IDS, Ask, Cri
from harness.host.processes import (
    attempt,
    installed_version,
    run,
    script,
    short_directory,
    wait_until,
)
from harness.kernel.process_status import DISABLED, FILTER, seccomp
from harness.node.install import Installed

pytestmark = pytest.mark.skipif(
    "RUNC_WRAP_WORLD" not in os.environ, reason="run by make test-forky"
)
OURS = "wrapped"
_PLUGIN = r"""#!/bin/sh
version=$(sed -n 's/.*"cniVersion": *"\([0-9.]*\)".*/\1/p')
case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "1.0.0", "supportedVersions": ["0.3.1", "0.4.0", "1.0.0"]}';;
ADD) cat <<END
{"cniVersion": "$version", "interfaces": [{"name": "$CNI_IFNAME", "sandbox": "$CNI_NETNS"}],
 "ips": [{"version": "4", "address": "192.0.2.2/24", "interface": 0}]}
END
esac
"""
_PLUGINS = ("loopback", "stand-in")  # containerd asks for the first one by itself
_CONFIGURATION = '{"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "stand-in"}]}\n'


def _release() -> str:
    return Path("/etc/os-release").read_text()


def test_the_runtimes_and_engines_are_newer_than_those_of_debian_13() -> None:
    older = {"runc": (1, 1), "containerd": (1, 7), "podman": (5, 4)}
    for name, release in older.items():
        major, minor, _ = installed_version(name).split(".")
        assert (int(major), int(minor)) > release, name
    assert sys.version_info >= (3, 14)


def test_a_process_that_joins_the_mount_namespace_gets_this_root_directory() -> None:
    """As tests of engines do: in a plain chroot they would use this machine's root directory."""
    joined = ["nsenter", f"--mount=/proc/{os.getpid()}/ns/mnt", "cat", "/etc/os-release"]
    assert run(joined).stdout == _release()
    assert "forky" in _release()


def test_no_mount_of_the_hosts_root_directory_is_left() -> None:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    assert [line for line in mounts if "/.outside" in line] == []


def _write_network_plugin(programs: Path, configurations: Path) -> None:
    """Write the plugins and what names them into these directories."""
    for directory in (programs, configurations):
        directory.mkdir(parents=True)
    for name in _PLUGINS:
        script(programs / name, _PLUGIN)
    (configurations / "50-stand-in.conflist").write_text(_CONFIGURATION)


@pytest.fixture(scope="module")
def node(installed: Installed) -> Iterator[Containerd]:
    """containerd with a network for pods."""
    # the pods' users come through it to their root directories
    with short_directory("users", 0o755) as place:
        _write_network_plugin(place / "cni/bin", place / "cni/conf")
        with containerd(place, {OURS: Handler(installed.wrapper)}) as engine:
            engine.load(images.archive(place), CRI_NAMESPACE)
            yield engine


@pytest.fixture(scope="module")
def cri(node: Containerd) -> Iterator[Cri]:
    with node.kubelet() as made:
        wait_until(made.has_network, "the network's configuration")
        yield made


def test_a_pod_with_users_of_its_own_is_confined_through_us_and_verified(
    node: Containerd, cri: Cri, installed: Installed
) -> None:
    assert [cri.has_user_namespaces(each) for each in ("runc", OURS)] == [True, True]
    for handler, expected in (("runc", DISABLED), (OURS, FILTER)):
        container = cri.run(cri.run_pod(handler, host_users=False), Ask())
        pid = cri.pid(container)
        assert seccomp(pid) == expected
        assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(FIRST_ID), str(IDS)]
    done = attempt([*node.space.prefix, installed.ctl, "verify", "--deep", "--json"])
    told = json.loads(done.stdout)
    assert (done.returncode, told["disagreeing"], told["unchecked"]) == (0, [], [])
    assert told["checked"] == len({"the container", "its pod's sandbox"})
