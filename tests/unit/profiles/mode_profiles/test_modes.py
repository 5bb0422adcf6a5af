"""Modes, what they record, and ABIs, derived from the very same rules."""

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.agent.observe import call_arguments
from runc_wrap.filters.evaluate import bpf, bpf_arguments
from runc_wrap.hotpath.decision import ENFORCE, OBSERVE
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.hotpath.rule_algebra import FAMILIES
from runc_wrap.profiles import abis, builtin, return_codes, syscall_names
from runc_wrap.profiles.mode_profiles import modes, own_filter_rules
from runc_wrap.profiles.runtime_spec_names import NATIVE
from runc_wrap.profiles.source_profile import Profile
from runc_wrap.profiles.unobserved_calls import BASE
from tests.unit.hotpath import profile_verdict
from tests.unit.profiles import strategies
from tests.unit.profiles.resolving import block_of, needs_libseccomp, program_of, read

BUILT_IN = ["containerd@1.6.0", "moby", "containers-common", "containers-common@0.49.0", "crio"]
AF_VSOCK = 40


def _block(
    profile: Profile, mode: str, bounding: frozenset[str] = frozenset(), arch: str = "amd64"
) -> dict[str, Any]:
    return resolve(modes.compiled(profile, mode, arch=arch, kernel=(6, 12)), bounding)


@given(strategies.oci_blocks(), strategies.bounding, st.sampled_from(sorted(NATIVE)))
def test_enforce_is_the_unchanged_profile(
    document: dict[str, Any], bounding: frozenset[str], arch: str
) -> None:
    found = _block(read(document), "enforce", bounding, arch)
    assert found == document
    assert next(iter(found)) == "defaultAction"


@given(strategies.oci_blocks() | strategies.moby_profiles(), strategies.bounding)
def test_audit_denies_nothing(document: dict[str, Any], bounding: frozenset[str]) -> None:
    block = _block(read(document), "audit", bounding)
    actions = {block["defaultAction"], *(rule["action"] for rule in block["syscalls"])}
    assert actions <= {"SCMP_ACT_ALLOW", "SCMP_ACT_LOG"}
    assert "errno" not in json.dumps(block).lower()
    assert "listener" not in json.dumps(block)
    assert modes.KILLABLE_FLAG not in block.get("flags", [])  # which needs a listener
    listed = block["architectures"]
    assert {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"} <= set(listed)
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("spec", BUILT_IN)
@pytest.mark.parametrize("caps", [frozenset(), frozenset({"CAP_SYS_ADMIN", "CAP_AUDIT_WRITE"})])
def test_audit_logs_all_that_enforce_does_not_allow(spec: str, caps: frozenset[str]) -> None:
    enforced = block_of(spec, caps)
    audited = _block(builtin.load(spec), "audit", caps)
    names = {name for rule in enforced["syscalls"] for name in rule["names"]} | {"bogus"}
    for name in names:
        for value in (0, 1, 16, 38, AF_VSOCK, 0x10000000, 0xFFFFFFFF):
            if name == "socket" and value >= FAMILIES:
                continue  # the kernel has no such family
            for third in (0, 9):
                values = {0: value, 2: third}
                passes = profile_verdict.passes(enforced, name, values)
                # LOG is the default: runtimes drop rules that say the same
                kept = [r for r in audited["syscalls"] if r["action"] == "SCMP_ACT_ALLOW"]
                unseen = any(profile_verdict.matches(rule, name, values) for rule in kept)
                # a filter is installed, or strict mode entered
                tells = name == "seccomp" and value in (0, 1) and (third or not value)
                assert unseen is (passes and not tells), (name, values)


def test_the_log_flag_is_set_beside_the_defaults_that_runtimes_would_omit() -> None:
    both = ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG"]
    plain = {"defaultAction": "SCMP_ACT_ERRNO"}
    assert _block(read(plain), "enforce-log")["flags"] == both
    assert _block(read({**plain, "flags": []}), "enforce-log")["flags"] == both[1:]
    given = {**plain, "flags": [both[1], "SECCOMP_FILTER_FLAG_TSYNC"]}
    assert _block(read(given), "enforce-log")["flags"] == given["flags"]
    old = modes.compiled(read(plain), "enforce-log", arch="amd64", kernel=(4, 14))
    assert old["block"]["flags"] == both[1:]


X86_64, X86 = "SCMP_ARCH_X86_64", "SCMP_ARCH_X86"
NATIVE_STAYS = [((), [X86_64]), ((X86,), [X86_64, X86]), (("SCMP_ARCH_ARM",), [X86_64])]


@pytest.mark.parametrize(("kept", "left"), NATIVE_STAYS)
def test_the_native_abi_always_stays(kept: tuple[str, ...], left: list[str]) -> None:
    profile = modes.with_abis(builtin.load("moby"), "amd64", kept)
    assert _block(profile, "enforce")["architectures"] == left


def test_a_profile_that_lists_no_abi_gets_none() -> None:
    profile = modes.with_abis(read({"defaultAction": "SCMP_ACT_ERRNO"}), "amd64", ())
    assert "architectures" not in _block(profile, "enforce")
    assert "architectures" not in _block(profile, "audit", arch="riscv64")


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
    return [*map(program_of, blocks)], [abis.of_oci(one) for one in blocks[0]["architectures"]]


def wrong(name: str, args: bpf.Args, before: int, after: int) -> bool:
    if before != ALLOW:
        return after != before
    if name in own_filter_rules.FIRST and own_filter_rules.is_held(name, args[0]):
        return after != NOTIFY
    if name in MULTIPLEXED:
        return after not in (ALLOW, NOTIFY)
    return after != (ALLOW if name in BASE else NOTIFY)


@needs_libseccomp
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


@needs_libseccomp
def test_the_agent_knows_what_it_only_records() -> None:
    plain = [(made("containerd", mode), mode) for mode in (ENFORCE, OBSERVE)]
    enforced, observed = (modes.recorded(*one, LISTENER)["block"] for one in plain)
    assert modes.RECORD_METADATA == call_arguments.RECORDS
    assert enforced["listenerMetadata"] == call_arguments.RECORDS
    assert enforced["listenerPath"] == "/notify.sock"
    assert enforced["flags"] == [modes.SPEC_ALLOW_FLAG, modes.KILLABLE_FLAG]
    assert observed["listenerMetadata"] == call_arguments.METADATA
    assert observed["flags"].count(modes.KILLABLE_FLAG) == 1
