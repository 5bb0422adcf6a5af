"""The filter of `profile record`: which calls the parent is asked about."""

import pytest

from runc_wrap.agent.observe import recorded_command
from runc_wrap.filters.evaluate import bpf
from runc_wrap.profiles import return_codes, syscall_names
from runc_wrap.profiles.abis import ABIS

ASKED = [("", "read", False), ("", "mount", True), ("", "clone", True), ("x86", "read", True)]


@pytest.mark.parametrize(("abi", "call", "is_asked"), ASKED)
def test_calls_of_the_base_set_are_not_asked_about_and_those_of_other_abis_are(
    abi: str, call: str, *, is_asked: bool
) -> None:
    of = ABIS[abi] if abi else syscall_names.native()
    data = bpf.SeccompData(of.audit, syscall_names.numbers(of)[call], (0,) * 6)
    found = bpf.evaluate(bpf.program(recorded_command._filter()), data)  # noqa: SLF001
    assert found == (return_codes.USER_NOTIF if is_asked else return_codes.ALLOW)
