"""default.int_arguments on real runtimes: a program sets upper bits of an int."""

from collections.abc import Callable
from typing import Any

import pytest

from harness.containers.block_rules import equals, profile, rule
from runc_wrap.profiles import abis, syscall_names
from tests.runtime.conftest import Lab

UNIX, UNIX_HIGH = "x86_64:41:1:1:0", "x86_64:41:0x100000001:1:0"
INET, INET_HIGH = "x86_64:41:2:1:0", "x86_64:41:0xffffffff00000002:1:0"
INET_X86 = "x86:359:2:1:0"
CALLS = (UNIX, UNIX_HIGH, INET, INET_HIGH, INET_X86)
PASSED, DENIED = "returned", "errno 1"
EVERYTHING = {UNIX: PASSED, UNIX_HIGH: PASSED, INET: DENIED, INET_X86: DENIED}


ABIS = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]


def denying() -> dict[str, Any]:
    """Return a profile that denies AF_INET by a separate rule."""
    return profile(rule("ERRNO", "socket", errnoRet=1, args=equals(0, 2)), architectures=ABIS)


def allowing() -> dict[str, Any]:
    """Return a profile that names every call, and of socket(2) allows all but AF_INET."""
    named = {name for abi in ("x86_64", "x86") for name in syscall_names.numbers(abis.ABIS[abi])}
    plain = rule("ALLOW", *sorted(named - {"socket"}))
    families = rule("ALLOW", "socket", args=equals(0, 2, "NE"))
    return profile(plain, families, default="ERRNO", defaultErrnoRet=1, architectures=ABIS)


@pytest.mark.parametrize("make", [denying, allowing])
@pytest.mark.parametrize(
    ("setting", "high"),
    [("", DENIED), ('int_arguments = "kernel"\n', DENIED), ('int_arguments = "engine"\n', PASSED)],
)
def test_upper_bits_bypass_a_rule_as_written_and_not_a_narrowed_one(
    lab: Lab, *, make: Callable[[], dict[str, Any]], setting: str, high: str
) -> None:
    lab.own_profile(make())
    lab.configure(f'[default]\nprofile = "localhost/own.json"\n{setting}')
    assert lab.calls(*CALLS) == {**EVERYTHING, INET_HIGH: high}
