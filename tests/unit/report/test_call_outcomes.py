from typing import Any

import pytest

from runc_wrap.evidence.store.call_counts import CallKind
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.profiles import return_codes, syscall_names
from runc_wrap.report import call_outcomes
from runc_wrap.report.call_outcomes import DEGRADES, DENIED, DEPENDS, SAFE
from runc_wrap.report.enforced_profile import Enforced
from tests.unit.evidence import samples
from tests.unit.evidence.samples import CLONE, CLONE3, GETPID, PERSONALITY, SOCKET, X86, X86_64

VSOCK, INET, NEWEST = 40, 2, 5000
EQ, MASKED = "SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"


def _call(number: int, args: tuple[Any, ...] | None = None, arch: int = X86_64) -> CallKind:
    return CallKind(arch, number, samples.LOG, args, "", "")


def _acct_call() -> CallKind:
    native = syscall_names.native()
    return _call(syscall_names.numbers(native)["acct"], arch=native.audit)


def _args(*given: int | None) -> tuple[int | None, ...]:
    return (*given, *(None,) * 6)[:6]


OUTCOMES = [
    (_call(samples.UNSHARE), DENIED, "EPERM"),
    (_call(21, arch=X86), DENIED, "EPERM"),
    (_call(CLONE3), DEGRADES, "ENOSYS"),
    (_call(NEWEST), DEGRADES, "ENOSYS"),  # runc's stub
    (_call(GETPID), SAFE, None),
    (_call(CLONE), DEPENDS, "EPERM"),
    (_call(CLONE, _args(samples.NEWUSER)), DENIED, "EPERM"),
    (_call(CLONE, _args(17)), SAFE, None),
    (_call(CLONE, _args(None)), DEPENDS, "EPERM"),
    (_call(SOCKET), DEPENDS, "EPERM"),
    (_call(SOCKET, _args(VSOCK)), DENIED, "EPERM"),
    (_call(SOCKET, _args(INET)), SAFE, None),
    (_call(PERSONALITY), DEPENDS, "EPERM"),
    (_call(PERSONALITY, _args(0xFFFFFFFF)), SAFE, None),
    (_call(1, arch=0x1234), DEPENDS, None),
    (_call(-1), DENIED, "ENOSYS"),
]


@pytest.mark.parametrize(("call", "verdict", "errno"), OUTCOMES)
def test_a_call_gets_what_the_profile_says(call: CallKind, verdict: str, errno: str | None) -> None:
    found = call_outcomes.of(call, samples.enforced())
    if call.number == -1:
        assert found.errno in ("ENOSYS", "EPERM")
        return
    assert (found.verdict, found.errno) == (verdict, errno)


def _acct(*compared: tuple[Any, ...]) -> dict[str, Any]:
    """Return a rule with comparisons: index, operator, value, and of a mask what it gives."""
    keys = ("index", "op", "value", "valueTwo")
    args = [dict(zip(keys, one, strict=False)) for one in compared]
    return {"names": ["acct"], "action": "SCMP_ACT_ALLOW", "args": args}


# each bit that leaves one of these masks may meet another
MASKS = ((0x20, 0), (0x1A0, 0x1A0), (16, 16), (272, 0))
MEETING = [(0, MASKED, mask, value) for mask, value in MASKS]
LIMITED = [_acct((0, MASKED, 8, 8), (1, EQ, 9 * number)) for number in range(300)]


DENYING_SOME = [
    [_acct((0, MASKED, 1 << 28, 0)), _acct((0, MASKED, 1 << 17, 0))],
    [_acct((0, MASKED, 1 << 28, 0), (0, MASKED, 1 << 17, 0))],  # runtimes join these by OR
    [_acct((0, MASKED, *of)) for of in ((0x100, 0), (1 << 17, 1 << 17), (1 << 28, 0))],
    [_acct(one) for one in MEETING],
    # libseccomp up to 2.6.0 denies these for (0, 1), at which they compare nothing
    [_acct((0, "SCMP_CMP_NE", 1)), _acct((1, "SCMP_CMP_GE", 10), (0, "SCMP_CMP_NE", 9))],
    [_acct((0, EQ, number)) for number in range(800)],
    [_acct((0, MASKED, 8, 0)), *LIMITED],
]


@pytest.mark.parametrize("rules", DENYING_SOME)
def test_without_arguments_a_call_is_never_safe_that_the_profile_denies_for_some(
    rules: list[dict[str, Any]],
) -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}
    found = call_outcomes.of(_acct_call(), Enforced(profile, Loader("crun")))
    assert found.verdict == DEPENDS


def test_a_call_of_which_not_all_arguments_can_be_tried_is_not_safe() -> None:
    apart = [_acct(*((index, EQ, 7 * n + 1) for index in range(4))) for n in range(9)]
    denied = [rule | {"action": "SCMP_ACT_ERRNO"} for rule in apart]
    enforced = Enforced({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": denied}, Loader("crun"))
    logged = _acct_call()._replace(code=return_codes.ERRNO | 1)  # as in the mode that also logs
    assert call_outcomes.of(_acct_call(), enforced).verdict == DEPENDS
    assert call_outcomes.of_record(logged, enforced).verdict == DEPENDS


KILLS = {"KILL_PROCESS": "the process is killed", "KILL_THREAD": "the thread is killed"}


@pytest.mark.parametrize(("action", "how"), [*KILLS.items(), ("TRAP", "SIGSYS")])
def test_a_kill_is_a_denial_without_an_errno(action: str, how: str) -> None:
    block = {"defaultAction": f"SCMP_ACT_{action}", "syscalls": [_acct()]}
    found = call_outcomes.of(_call(GETPID), Enforced(block, Loader("crun")))
    assert (found.verdict, found.errno, found.how) == (DENIED, None, how)


def test_different_errors_by_argument_are_all_named() -> None:
    rule = {**_acct((0, EQ, 8)), "action": "SCMP_ACT_ERRNO", "errnoRet": 22}
    block = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}
    found = call_outcomes.of(_acct_call(), Enforced(block, Loader("crun")))
    assert (found.verdict, found.errno) == (DEPENDS, None)
    assert found.how == "EINVAL or EPERM, depending on arguments"
