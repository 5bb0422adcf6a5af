"""Debian's programs: what audit and observe predict is what enforce-log really denies.

`denied` is what enforce-log really denies. A program that fails at its first denial does not come
to the calls behind it, while where all is let through it does: those are `beyond`, and the sets
differ by exactly them. Nothing is denied that was not predicted.

The judge is the kernel: audit's own records, told apart by login uid (tests/support/truth.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.corpus.conftest import Ran, run_all, wanted
from tests.corpus.nodes import AUDIT, BARE, ENFORCE, ENFORCE_LOG, OBSERVE, Program, native
from tests.support.requirements import is_there, requires

if TYPE_CHECKING:
    from tests.corpus.nodes import Node

pytestmark = pytest.mark.timeout(1200)  # the first test waits for all programs to run
EPERM = "not permitted"


class Case(NamedTuple):
    """A program, what is denied to it and what it would have called after that."""

    name: str
    script: str
    denied: str
    needs: str
    beyond: str = ""
    message: str = EPERM  # what enforce makes it say

    @property
    def program(self) -> Program:
        return Program(self.name, ["/bin/sh", "-c", self.script])


CASES = [
    Case("unshare", "unshare --mount true", "unshare", "unshare"),
    # It makes mounts private, which it cannot do in the namespace that it did not get.
    Case("unshare-rootless", "unshare -Urm true", "unshare", "unshare", beyond="mount"),
    # mount(8) does not try mount(2) after EPERM
    Case("mount", "mount -t tmpfs none /tmp", "fsopen", "mount", message="permission denied"),
    Case("umount", "umount /tmp", "umount2", "umount", message="must be superuser"),
    Case("nsenter", "nsenter --target 1 --mount true", "setns", "nsenter"),
    Case("dmesg", "dmesg", "syslog", "dmesg"),
    Case(
        "keyctl",
        "keyctl new_session x; keyctl add user a b @s; keyctl request user a",
        "keyctl add_key request_key",
        "keyctl",
    ),
    # numactl first asks whether there is NUMA at all, and believes the answer.
    Case(
        "numactl",
        "numactl --hardware; numactl --interleave=all true; migratepages $$ 0 0",
        "get_mempolicy",
        "numactl",
        beyond="set_mempolicy migrate_pages",
        message="No NUMA available",
    ),
    # No ring, nothing to enter. clone3: glibc's threads, answered ENOSYS, fall back to clone.
    Case(
        "fio-io-uring",
        "fio --name=a --ioengine=io_uring --size=1m --output-format=terse",
        "clone3 io_uring_setup",
        "fio",
        beyond="io_uring_enter io_uring_register",
    ),
    Case("perf", "perf stat -e task-clock true", "perf_event_open", "perf", message="permission"),
    Case("bpftool", "bpftool prog show", "bpf", "bpftool"),
]


@pytest.fixture(scope="module")
def ran(crun: Node, runc: Node, request: pytest.FixtureRequest) -> Ran:
    cases = [case for case in wanted(request, "case") if is_there(case.needs)]
    return run_all((crun, runc), [case.program for case in cases])


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    requires(found.needs)
    return found


def test_audit_logs_what_enforce_log_denies(ran: Ran, case: Case) -> None:
    at = {mode: ran.outcomes["crun", mode, case.name] for mode in (BARE, AUDIT, ENFORCE_LOG)}
    assert at[BARE].calls == set()
    assert at[ENFORCE_LOG].calls == native(case.denied), at[ENFORCE_LOG].output
    assert at[AUDIT].calls == native(f"{case.denied} {case.beyond}"), at[AUDIT].output


def test_runc_and_crun_log_and_deny_the_same(ran: Ran, case: Case) -> None:
    at = {
        (kind, mode): outcome
        for (kind, mode, name), outcome in ran.outcomes.items()
        if name == case.name
    }
    assert at["runc", AUDIT].calls == at["crun", AUDIT].calls
    for kind in ("runc", "crun"):
        assert case.message in at[kind, ENFORCE].output
    assert (
        at["runc", ENFORCE].status == at["crun", ENFORCE].status == at["crun", ENFORCE_LOG].status
    )


@pytest.mark.parametrize("kind", ["crun", "runc"])
def test_what_observe_reports_is_what_audit_reports_and_the_kernel_says(
    ran: Ran, case: Case, kind: str
) -> None:
    truth = ran.outcomes[kind, AUDIT, case.name].calls
    assert truth
    assert ran.reported(kind, AUDIT, case.name) == truth
    assert ran.reported(kind, OBSERVE, case.name) == truth


def test_what_is_reported_of_enforce_log_is_what_was_denied(ran: Ran, case: Case) -> None:
    found = ran.outcomes["crun", ENFORCE_LOG, case.name].calls
    assert found
    assert ran.reported("crun", ENFORCE_LOG, case.name) == found


def test_a_program_sees_observe_no_more_than_audit(ran: Ran, case: Case) -> None:
    for kind in ("crun", "runc"):
        bare = ran.outcomes[kind, BARE, case.name].status
        assert ran.outcomes[kind, AUDIT, case.name].status == bare
        assert ran.outcomes[kind, OBSERVE, case.name].status == bare
