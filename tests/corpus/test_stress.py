"""stress-ng's system calls: single stressors that the profile denies something, and whole classes.

The stressors that come to denied calls were found by running the classes os, memory, io and
scheduler. One run of each is bounded by a number of operations, so that it makes the same calls
each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.corpus.conftest import AUDIT, ENFORCE_LOG, native
from tests.support.processes import attempt
from tests.support.requirements import program, requires

if TYPE_CHECKING:
    from tests.corpus.conftest import Runner

SOME_SKIPPED = 3  # stress-ng's status where the kernel or the container lacks what a stressor needs
_QUIET = "--seed 1 --timeout 2"


class Stressor(NamedTuple):
    """A stressor, what is denied to it, and what it comes to only when that is not."""

    name: str
    denied: str
    beyond: str = ""


STRESSORS = [
    Stressor("clock", "clock_settime"),
    Stressor("clone", "unshare setns"),
    Stressor("cpu-sched", "set_mempolicy"),
    Stressor("fanotify", "fanotify_init"),
    Stressor("handle", "open_by_handle_at"),
    Stressor("io-uring", "io_uring_setup", beyond="io_uring_enter"),
    Stressor("kcmp", "kcmp"),
    Stressor("key", "add_key keyctl", beyond="request_key"),
    Stressor("klog", "syslog"),
    Stressor("membarrier", "clone3"),
    Stressor(
        "numa",
        "get_mempolicy",  # it takes a denial for a machine without NUMA and ends
        beyond="mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node",
    ),
    Stressor("personality", "personality"),
    Stressor("pidfd", "pidfd_getfd"),
    Stressor("set", "sethostname setdomainname"),
    Stressor("swap", "swapon swapoff"),
    Stressor("sysinfo", "ustat"),
    Stressor("unshare", "unshare"),
    Stressor("userfaultfd", "userfaultfd"),
]
CLASSES = {"ipc": "clone3", "network": "", "pipe": "", "signal": ""}


def _script(names: list[str]) -> list[str]:
    words = " ".join(f"--{name} 1 --{name}-ops 2" for name in names)
    return ["sh", "-c", f"stress-ng {_QUIET} {words} 2>&1"]


@pytest.mark.parametrize("stressor", STRESSORS, ids=lambda stressor: stressor.name)
def test_audit_predicts_what_a_stressor_is_denied(runner: Runner, stressor: Stressor) -> None:
    requires("stress-ng")
    args = _script([stressor.name])
    audited = {kind: runner.run(kind, AUDIT, args) for kind in ("crun", "runc")}
    enforced = runner.run("crun", ENFORCE_LOG, args)
    assert enforced.calls == native(stressor.denied), enforced.output
    for outcome in audited.values():
        assert outcome.calls == native(f"{stressor.denied} {stressor.beyond}"), outcome.output


@pytest.mark.parametrize("name", CLASSES)
def test_a_whole_class_is_safe_and_passes(runner: Runner, name: str) -> None:
    args = _script(_members(name))
    audited, enforced = runner.run("crun", AUDIT, args), runner.run("crun", ENFORCE_LOG, args)
    assert audited.calls == enforced.calls == native(CLASSES[name])
    assert enforced.status == audited.status in (0, SOME_SKIPPED), enforced.output
    assert "failed: 0\n" in enforced.output


def _members(name: str) -> list[str]:
    asked = attempt([program("stress-ng"), "--class", f"{name}?"])
    members = (asked.stdout + asked.stderr).partition("stressors:")[2].split()
    assert len(members) > 5
    return members
