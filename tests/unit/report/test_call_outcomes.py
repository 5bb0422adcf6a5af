from typing import Any

import pytest

from runc_wrap.evidence.store.call_counts import CallKind
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.profiles import return_codes, syscall_names
from runc_wrap.report import call_outcomes
from runc_wrap.report.call_outcomes import DEGRADES, DENIED, DEPENDS, SAFE
from runc_wrap.report.enforced_profile import Enforced
from tests.unit.evidence import samples
from tests.unit.evidence.samples import (
    CLONE,
    CLONE3,
    GETPID,
    LOG,
    MOUNT,
    NEWUSER,
    PERSONALITY,
    SOCKET,
    UNSHARE,
    X86,
    X86_64,
)

VSOCK, INET, NEWEST = 40, 2, 5000


def _call(number: int, args: tuple[Any, ...] | None = None, arch: int = X86_64) -> CallKind:
    return CallKind(arch, number, LOG, args, "", "")


def _acct_call() -> CallKind:
    native = syscall_names.native()
    return _call(syscall_names.numbers(native)["acct"], arch=native.audit)


def _compared(*args: tuple[int, str, int]) -> dict[str, Any]:
    named = [{"index": at, "op": f"SCMP_CMP_{op}", "value": value} for at, op, value in args]
    return {"names": ["acct"], "action": "SCMP_ACT_ALLOW", "args": named}


def _args(*given: int | None) -> tuple[int | None, ...]:
    return (*given, *(None,) * 6)[:6]


@pytest.mark.parametrize(
    ("call", "verdict", "errno"),
    [
        (_call(UNSHARE), DENIED, "EPERM"),
        (_call(MOUNT), DENIED, "EPERM"),
        (_call(21, arch=X86), DENIED, "EPERM"),
        (_call(CLONE3), DEGRADES, "ENOSYS"),
        (_call(NEWEST), DEGRADES, "ENOSYS"),  # runc's stub
        (_call(GETPID), SAFE, None),
        (_call(CLONE), DEPENDS, "EPERM"),
        (_call(CLONE, _args(NEWUSER)), DENIED, "EPERM"),
        (_call(CLONE, _args(17)), SAFE, None),
        (_call(CLONE, _args(None)), DEPENDS, "EPERM"),
        (_call(SOCKET), DEPENDS, "EPERM"),
        (_call(SOCKET, _args(VSOCK)), DENIED, "EPERM"),
        (_call(SOCKET, _args(INET)), SAFE, None),
        (_call(PERSONALITY), DEPENDS, "EPERM"),
        (_call(PERSONALITY, _args(0xFFFFFFFF)), SAFE, None),
        (_call(1, arch=0x1234), DEPENDS, None),
        (_call(-1), DENIED, "ENOSYS"),
    ],
)
def test_a_call_gets_what_the_profile_gives_it(
    call: CallKind, verdict: str, errno: str | None
) -> None:
    found = call_outcomes.of(call, samples.enforced())
    if call.number == -1:
        assert found.errno in ("ENOSYS", "EPERM")
        return
    assert (found.verdict, found.errno) == (verdict, errno)


def _acct(*comparisons: tuple[int, int, int | None]) -> dict[str, Any]:
    """Return a rule that compares for equality, or with a mask."""
    args = [{"index": index, "value": value, "op": "SCMP_CMP_EQ"} if two is None
            else {"index": index, "value": value, "valueTwo": two, "op": "SCMP_CMP_MASKED_EQ"}
            for index, value, two in comparisons]  # fmt: skip
    return {"names": ["acct"], "action": "SCMP_ACT_ALLOW", "args": args}


@pytest.mark.parametrize(
    "rules",
    [
        [_acct((0, 0x10000000, 0)), _acct((0, 0x20000, 0))],
        [_acct((0, 0x10000000, 0), (0, 0x20000, 0))],  # runtimes join these by OR
        [_acct((0, 0x100, 0)), _acct((0, 0x20000, 0x20000)), _acct((0, 0x10000000, 0))],
        # each bit that leaves one of these masks may meet another
        [
            _acct((0, mask, wanted))
            for mask, wanted in ((0x20, 0), (0x1A0, 0x1A0), (0x10, 0x10), (0x110, 0))
        ],
        # libseccomp up to 2.6.0 denies these for (0, 1), at which they compare nothing
        [
            _compared((0, "NE", 1)),
            _compared((1, "GE", 10), (0, "NE", 9)),
        ],
        [_acct((0, number, None)) for number in range(800)],
        [_acct((0, 8, 0)), *(_acct((0, 8, 8), (1, 9 * number, None)) for number in range(300))],
    ],
)
def test_without_arguments_a_call_is_never_safe_that_the_profile_denies_for_some(
    rules: list[dict[str, Any]],
) -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}
    found = call_outcomes.of(_acct_call(), Enforced(profile, Loader("crun")))
    assert found.verdict == DEPENDS


def test_a_call_of_which_not_all_arguments_can_be_tried_is_not_safe() -> None:
    apart = [_acct(*((index, 7 * n + 1, None) for index in range(4))) for n in range(9)]
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [rule | {"action": "SCMP_ACT_ERRNO"} for rule in apart],
    }
    enforced = Enforced(profile, Loader("crun"))
    denied = _acct_call()._replace(code=return_codes.ERRNO | 1)  # as in the mode that also logs
    assert call_outcomes.of(_acct_call(), enforced).verdict == DEPENDS
    assert call_outcomes.of_record(denied, enforced).verdict == DEPENDS


@pytest.mark.parametrize(
    ("action", "how"),
    [
        ("SCMP_ACT_KILL_PROCESS", "the process is killed"),
        ("SCMP_ACT_KILL_THREAD", "the thread is killed"),
        ("SCMP_ACT_TRAP", "SIGSYS"),
    ],
)
def test_a_kill_is_a_denial_without_an_errno(action: str, how: str) -> None:
    block = {"defaultAction": action, "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}
    found = call_outcomes.of(_call(GETPID), Enforced(block, Loader("crun")))
    assert (found.verdict, found.errno, found.how) == (DENIED, None, how)


def test_different_errors_by_argument_are_all_named() -> None:
    rule = {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22}
    args = [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]
    block = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{**rule, "args": args}]}
    found = call_outcomes.of(_call(PERSONALITY), Enforced(block, Loader("crun")))
    assert (found.verdict, found.errno) == (DEPENDS, None)
    assert found.how == "EINVAL or EPERM, depending on arguments"


@pytest.mark.parametrize(
    ("arch", "number", "name"),
    [
        (X86_64, 1, "x86_64"),
        (X86_64, 1 | 1 << 30, "x32"),
        (X86_64, -1, "x86_64"),
        (X86, 1 | 1 << 30, "x86"),
        (0xC00000B7, 1, "aarch64"),
    ],
)
def test_an_abi_is_recognized_by_architecture_and_number(arch: int, number: int, name: str) -> None:
    found = call_outcomes.abi_of(arch, number)
    assert found is not None
    assert found.name == name
