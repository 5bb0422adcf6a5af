"""stress-ng's system calls: single stressors that the profile denies a call, and whole classes.

The stressors that come to denied calls were found by running the classes os, memory, io and
scheduler. One run of each is bounded by a number of operations, so that it makes the same calls
each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from harness.host.processes import attempt
from harness.node.requirements import program, requires
from tests.corpus.conftest import Ran, run_all, wanted
from tests.corpus.nodes import AUDIT, ENFORCE_LOG, OBSERVE, Program, native

if TYPE_CHECKING:
    from tests.corpus.nodes import Node

pytestmark = pytest.mark.timeout(1200)  # the first test waits for all programs to run
SOME_SKIPPED = 3  # stress-ng's status where the kernel or the container lacks what a stressor needs
_QUIET = "--seed 1 --timeout {}"
# A single one ends by its operations, the seconds only guard; of a class, some end by nothing else.
_SINGLE, _CLASS = 30, 2
_OPERATIONS = {"cpu-sched": 2000}  # it chooses at random what to do: each in turn is rare


class Stressor(NamedTuple):
    """A stressor, the calls denied to it, and those that it makes only if these are allowed."""

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
        "get_mempolicy",  # it treats a denial as a machine without NUMA and ends
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
CLASSES = [
    Stressor("ipc", "clone3"),
    Stressor("network", ""),
    Stressor("pipe", ""),
    Stressor("signal", ""),
]


@pytest.fixture(scope="module")
def ran(crun: Node, runc: Node, request: pytest.FixtureRequest) -> Ran:
    requires("stress-ng")
    found = [_program(one.name, [one.name], _SINGLE) for one in wanted(request, "stressor")]
    found += [
        _program(f"class-{one.name}", _members(one.name), _CLASS)
        for one in wanted(request, "whole")
    ]
    return run_all((crun, runc), found, (AUDIT, OBSERVE, ENFORCE_LOG))


def _program(name: str, members: list[str], seconds: int) -> Program:
    words = " ".join(f"--{one} 1 --{one}-ops {_OPERATIONS.get(one, 2)}" for one in members)
    return Program(name, ["sh", "-c", f"stress-ng {_QUIET.format(seconds)} {words} 2>&1"])


def _members(name: str) -> list[str]:
    asked = attempt([program("stress-ng"), "--class", f"{name}?"])
    members = (asked.stdout + asked.stderr).partition("stressors:")[2].split()
    assert len(members) > 5
    return members


@pytest.mark.parametrize("stressor", STRESSORS, ids=lambda stressor: stressor.name)
def test_a_stressors_prediction_matches_its_denials(ran: Ran, stressor: Stressor) -> None:
    enforced = ran.outcomes["crun", ENFORCE_LOG, stressor.name]
    assert enforced.calls == native(stressor.denied), enforced.output
    assert ran.reported("crun", ENFORCE_LOG, stressor.name) == enforced.calls
    for kind in ("crun", "runc"):
        expected = native(f"{stressor.denied} {stressor.beyond}")
        assert ran.outcomes[kind, AUDIT, stressor.name].calls == expected
        assert ran.reported(kind, AUDIT, stressor.name) == expected
        assert ran.reported(kind, OBSERVE, stressor.name) == expected


@pytest.mark.parametrize("whole", CLASSES, ids=lambda whole: whole.name)
def test_a_class_without_denials_passes(ran: Ran, whole: Stressor) -> None:
    name = f"class-{whole.name}"
    found = {mode: ran.outcomes["crun", mode, name] for mode in (AUDIT, ENFORCE_LOG)}
    for mode, outcome in found.items():
        assert outcome.calls == native(whole.denied), mode
        assert ran.reported("crun", mode, name) == native(whole.denied), mode
        assert outcome.status in (0, SOME_SKIPPED), outcome.output
        assert "failed: 0\n" in outcome.output
    assert found[AUDIT].status == found[ENFORCE_LOG].status
