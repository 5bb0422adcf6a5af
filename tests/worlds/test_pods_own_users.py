"""Pods with users of their own (`hostUsers: false`), which Debian 13's runc 1.1 cannot start.

A runtime that is replaced while containerd runs: tests/unit/engines/test_features_asked.py.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engines import cni_stand_in, images
from harness.engines.containerd import CRI_NAMESPACE, Containerd, Handler, containerd
from harness.engines.cri import FIRST_ID, IDS, Ask, Cri, client
from harness.host.processes import attempt, short_directory, wait_until
from harness.kernel.process_status import DISABLED, FILTER, seccomp
from harness.node.install import Installed

pytestmark = pytest.mark.skipif(
    "RUNC_WRAP_WORLD" not in os.environ, reason="run by make test-forky"
)
OURS = "wrapped"


@pytest.fixture(scope="module")
def node(installed: Installed) -> Iterator[Containerd]:
    """containerd with a network for pods."""
    with short_directory("users") as place:
        place.chmod(0o755)  # the pods' users come through it to their root directories
        cni_stand_in.write(place / "cni/bin", place / "cni/conf")
        with containerd(place, {OURS: Handler(installed.wrapper)}) as engine:
            engine.load(images.archive(place), CRI_NAMESPACE)
            yield engine


@pytest.fixture(scope="module")
def cri(node: Containerd) -> Iterator[Cri]:
    with client(node.socket, node.space.cgroup) as made:
        made.wait_image()
        wait_until(made.has_network, "the network's configuration")
        yield made


def test_a_pod_with_users_of_its_own_is_confined_through_us_and_verified(
    node: Containerd, cri: Cri, installed: Installed, tmp_path: Path
) -> None:
    assert [cri.has_user_namespaces(each) for each in ("runc", OURS)] == [True, True]
    for handler, expected in (("runc", DISABLED), (OURS, FILTER)):
        container = cri.run(cri.run_pod(handler, tmp_path, host_users=False), Ask())
        pid = cri.pid(container)
        assert seccomp(pid) == expected
        users = Path(f"/proc/{pid}/uid_map").read_text().split()
        assert users == ["0", str(FIRST_ID), str(IDS)]
    done = attempt([*node.space.prefix, installed.ctl, "verify", "--deep", "--json"])
    told = json.loads(done.stdout)
    assert (done.returncode, told["disagreeing"], told["unchecked"]) == (0, [], [])
    assert told["checked"] == len({"the container", "its pod's sandbox"})
