"""What is refused before anything is touched, and what --set-no-new-privs changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.host.processes import wait_until
from harness.kernel.process_status import status
from runc_wrap.filters.evaluate import ebpf_length
from runc_wrap.tighten import laid_filter
from tests.runtime.live.conftest import OVERLAY, answers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from tests.runtime.live.conftest import TightenedNode

OFF = '[default]\nmode = "off"\n'


def test_no_new_privs_is_set_only_if_that_is_asked_for(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    bundle = started(noNewPrivileges=False)
    node.configure(OVERLAY)
    (found,) = node.tighten("--overlay", bundle.name, status=1)
    assert found["result"] == "refused"
    assert "--set-no-new-privs" in found["reasons"][0]
    assert node.execs(bundle)
    assert answers(bundle, "yes")
    (found,) = node.tighten("--overlay", "--set-no-new-privs", bundle.name)
    assert found["result"] == "tightened"
    assert answers(bundle, "no")
    done = bundle.call(node.wrapper, "exec", after=("/bin/cat", "/proc/1/status"))
    assert "NoNewPrivs:\t1" in done.stdout
    done = bundle.call(node.wrapper, "exec", after=("/bin/cat", "/proc/self/status"))
    assert "NoNewPrivs:\t0" in done.stdout  # as the runtime's own process says
    assert not node.execs(bundle)
    assert node.disagreeing() == ([], [])


def test_a_profile_that_only_logs_or_asks_a_listener_is_refused(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    bundle = started()
    node.configure('[default]\nmode = "audit"\n')
    (found,) = node.tighten("--profile", bundle.name, status=1)
    assert found["result"] == "refused"
    assert "audit" in found["reasons"][0]
    asks = node.installed.prefix / "asks.json"
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/s", "syscalls": [rule]}
    asks.write_text(json.dumps(profile))
    (found,) = node.tighten("--named", str(asks), bundle.name, status=1)
    assert found["result"] == "refused"
    assert "listener" in found["reasons"][0]


def test_the_decided_profile_is_laid_on_what_runs_unconfined_on_canaries_first_if_not_paused(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    node.configure(OFF)
    bundle = started()
    node.configure(OVERLAY)
    assert bundle.call(node.bare, "pause").returncode == 0
    (found,) = node.tighten("--profile", bundle.name, status=1)
    assert found["reasons"] == ["it is paused: resume it, then run this again"]
    assert bundle.call(node.bare, "resume").returncode == 0
    assert node.execs(bundle)
    (found,) = node.tighten("--profile", "--canary", "1", bundle.name)
    assert found["result"] == "tightened"
    assert found["filter"].startswith("containerd@")
    assert answers(bundle, "no")
    assert not node.execs(bundle)
    assert node.disagreeing() == ([], [])


def test_another_profile_is_added_to_an_older_one_unless_the_container_is_paused(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    bundle = started()
    profile = node.installed.prefix / "etc" / "profiles" / "strict.json"
    profile.parent.mkdir(parents=True, exist_ok=True)
    profile.write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":'
        ' [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}'
    )
    assert bundle.call(node.bare, "pause").returncode == 0
    (found,) = node.tighten("--named", str(profile), bundle.name, status=1)
    assert (found["result"], found["processes"]) == ("refused", [])
    assert bundle.call(node.bare, "resume").returncode == 0
    assert node.execs(bundle)
    (found,) = node.tighten("--named", str(profile), bundle.name)
    assert (found["result"], found["reasons"]) == ("tightened", [])
    assert answers(bundle, "no")
    assert not node.execs(bundle)
    node.configure('[overlay]\ndeny = ["sysinfo"]\n')
    (found,) = node.tighten("--overlay", bundle.name)
    assert found["result"] == "tightened"
    assert len(node.installed.ledger(bundle.name)[-1]["laid"]) == 2
    assert node.disagreeing() == ([], [])


def test_what_the_kernel_has_no_room_for_is_refused_and_what_just_fits_is_added(
    node: TightenedNode, make_bundle: Callable[..., Bundle], built: Callable[[str], Path]
) -> None:
    denied = (["keyctl"], ["keyctl", "ptrace"])
    fits, longer = (
        ebpf_length.length(
            laid_filter.of_overlay({"deny": one, "deny_sockets": [], "existing": True}).program
        )
        for one in denied
    )
    assert longer > fits
    left = ebpf_length.MOST - fits - 8 * 4004
    node.configure(OFF)
    bundle = make_bundle(node.kind)
    bundle.running(built("tightened"), "/out", "fills", *[4000] * 8, left - 4)
    pid = bundle.create(node.wrapper)
    out = bundle.path / "rootfs" / "out"
    wait_until(lambda: out.exists() and "keyctl" in out.read_text(), "its filters")
    node.configure(f"{OFF}[overlay]\ndeny = {denied[1]}\n")
    (found,) = node.tighten("--overlay", bundle.name, status=1)
    assert found["result"] == "refused"
    assert "32,768" in found["reasons"][0]
    assert status(pid)["Seccomp_filters"] == "9"
    node.configure(f"{OFF}[overlay]\ndeny = {denied[0]}\n")
    (found,) = node.tighten("--overlay", bundle.name)
    assert (found["result"], found["reasons"]) == ("tightened", [])
    assert status(pid)["Seccomp_filters"] == "10"
