"""Debian's programs under audit and under enforce-log: what was predicted is what is denied.

`denied` is what enforce-log really denies. A program that fails at its first denial does not come
to the calls behind it, while under audit it does: those are `beyond`, and the two sets differ by
exactly them. Nothing is denied that audit did not predict.

The judge is the kernel: audit's own records, told apart by login uid (tests/support/truth.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.corpus.conftest import AUDIT, BARE, ENFORCE, ENFORCE_LOG, native
from tests.support.requirements import requires

if TYPE_CHECKING:
    from tests.corpus.conftest import Runner

EPERM = "not permitted"


class Case(NamedTuple):
    """A program, what is denied to it and what it would have called after that."""

    name: str
    script: str
    denied: str
    needs: str
    beyond: str = ""
    message: str = EPERM


CASES = [
    Case("unshare", "unshare --mount true", "unshare", "unshare"),
    # It makes mounts private, which it cannot do in the namespace that it did not get.
    Case("unshare, rootless", "unshare -Urm true", "unshare", "unshare", beyond="mount"),
    # mount(8) asks for the new interface, then falls back to mount(2) unless told "not permitted"
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
        "fio with io_uring",
        "fio --name=a --ioengine=io_uring --size=1m --output-format=terse",
        "clone3 io_uring_setup",
        "fio",
        beyond="io_uring_enter io_uring_register",
    ),
    Case("perf", "perf stat -e task-clock true", "perf_event_open", "perf", message="permission"),
    Case("bpftool", "bpftool prog show", "bpf", "bpftool"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_audit_predicts_what_enforce_log_denies(runner: Runner, case: Case) -> None:
    requires(case.needs)
    args = ["/bin/sh", "-c", case.script]
    assert runner.run("crun", BARE, args).calls == set()
    audited = runner.run("crun", AUDIT, args)
    enforced = runner.run("crun", ENFORCE_LOG, args)
    assert enforced.calls == native(case.denied), enforced.output
    assert audited.calls == native(f"{case.denied} {case.beyond}"), audited.output
    assert case.message in enforced.output


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_runc_predicts_and_denies_the_same(runner: Runner, case: Case) -> None:
    requires(case.needs)
    args = ["/bin/sh", "-c", case.script]
    audited = runner.run("runc", AUDIT, args)
    assert audited.calls == native(f"{case.denied} {case.beyond}"), audited.output
    enforced, reference = runner.run("runc", ENFORCE, args), runner.run("crun", ENFORCE, args)
    assert case.message in enforced.output
    assert enforced.status == reference.status
