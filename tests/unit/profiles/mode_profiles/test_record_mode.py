"""What is recorded: libseccomp's filter of the recording profile beside the one of its mode."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from runc_wrap.agent.observe import argument_rules
from runc_wrap.filters.evaluate import bpf, bpf_arguments
from runc_wrap.filters.evaluate.libseccomp_input import Loader, load
from runc_wrap.filters.kernel import libseccomp_compiler
from runc_wrap.hotpath.decision import ENFORCE, OBSERVE
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import abis, builtin, return_codes, syscall_names
from runc_wrap.profiles.mode_profiles import modes, own_filter_rules, record_mode
from runc_wrap.profiles.unobserved_calls import BASE
from tests.unit.profiles.resolving import needs_libseccomp

pytestmark = needs_libseccomp
LISTENER = modes.AgentListener("/notify.sock", killable=True)
CAPS = [frozenset[str](), frozenset({"CAP_SYS_ADMIN", "CAP_BPF"})]
ALLOW, NOTIFY = return_codes.ALLOW, return_codes.USER_NOTIF
MULTIPLEXED = ("socketcall", "ipc")


def made(spec: str, mode: str) -> Any:
    profile = builtin.load(spec)
    return modes.compiled(profile, mode, arch="amd64", kernel=(6, 12), listener=LISTENER)


@cache
def both(spec: str, mode: str, bounding: frozenset[str]) -> tuple[list[Any], list[abis.Abi]]:
    plain = made(spec, mode)
    blocks = [resolve(one, bounding) for one in (plain, modes.recorded(plain, mode, LISTENER))]
    programs = [
        bpf.program(libseccomp_compiler.filter_bytes(load(one, Loader("runc")))) for one in blocks
    ]
    return programs, [abis.of_oci(one) for one in blocks[0]["architectures"]]


def wrong(name: str, args: bpf.Args, before: int, after: int) -> bool:
    if before != ALLOW:
        return after != before
    if name in own_filter_rules.FIRST and own_filter_rules.is_held(name, args[0]):
        return after != NOTIFY
    if name in MULTIPLEXED:
        return after not in (ALLOW, NOTIFY)
    return after != (ALLOW if name in BASE else NOTIFY)


@pytest.mark.parametrize("bounding", CAPS, ids=["none", "some"])
@pytest.mark.parametrize("mode", [ENFORCE, OBSERVE])
@pytest.mark.parametrize("spec", ["containerd", "moby", "containers-common"])
def test_denials_stay_and_what_is_allowed_is_sent_unless_it_is_of_the_base_set(
    spec: str, mode: str, bounding: frozenset[str]
) -> None:
    programs, listed = both(spec, mode, bounding)
    odd = set()
    for abi in listed:
        for number, name in [*syscall_names.table(abi).items(), (1000, ""), (0x3FFFFFFF, "")]:
            for args in bpf_arguments.interest(programs, abi.audit, number).calls():
                call = bpf.SeccompData(abi.audit, number, args)
                before, after = (bpf.evaluate(one, call) for one in programs)
                if wrong(name, args, before, after):
                    odd.add((abi.name, name, args, before, after))
    assert odd == set()


def test_the_agent_knows_what_it_only_records() -> None:
    enforced, observed = (
        modes.recorded(made("containerd", mode), mode, LISTENER)["block"]
        for mode in (ENFORCE, OBSERVE)
    )
    assert record_mode.METADATA == argument_rules.RECORDS
    assert enforced["listenerMetadata"] == argument_rules.RECORDS
    assert enforced["listenerPath"] == "/notify.sock"
    assert enforced["flags"] == [modes.SPEC_ALLOW_FLAG, modes.KILLABLE_FLAG]
    assert observed["listenerMetadata"] == argument_rules.METADATA
    assert observed["flags"].count(modes.KILLABLE_FLAG) == 1


def test_a_profile_with_a_listener_of_its_own_is_not_recorded() -> None:
    plain = made("containerd", ENFORCE)
    own: Any = {**plain, "block": {**plain["block"], "listenerPath": "/other.sock"}}
    assert modes.recorded(own, ENFORCE, LISTENER) is own
