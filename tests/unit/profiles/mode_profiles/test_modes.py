"""Modes and ABIs, derived from the very same rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.hotpath.resolve import resolve
from runc_wrap.hotpath.rule_algebra import FAMILIES
from runc_wrap.profiles import builtin
from runc_wrap.profiles.json_profiles.profile_parser import parse
from runc_wrap.profiles.mode_profiles import modes
from runc_wrap.profiles.runtime_spec_names import NATIVE
from tests.unit.hotpath import profile_verdict
from tests.unit.profiles import strategies
from tests.unit.profiles.resolving import block_of

if TYPE_CHECKING:
    from runc_wrap.profiles.source_profile import Profile

BUILT_IN = ["containerd@1.6.0", "moby", "containers-common", "containers-common@0.49.0", "crio"]
AF_VSOCK = 40


def _read(document: dict[str, Any]) -> Profile:
    return parse(json.dumps(document).encode(), "test")


def _block(
    profile: Profile, mode: str, bounding: frozenset[str] = frozenset(), arch: str = "amd64"
) -> dict[str, Any]:
    return resolve(modes.compiled(profile, mode, arch=arch, kernel=(6, 12)), bounding)


@given(strategies.oci_blocks(), strategies.bounding, st.sampled_from(sorted(NATIVE)))
def test_enforce_is_the_unchanged_profile(
    document: dict[str, Any], bounding: frozenset[str], arch: str
) -> None:
    assert _block(_read(document), "enforce", bounding, arch) == document


@given(strategies.oci_blocks() | strategies.moby_profiles(), strategies.bounding)
def test_audit_denies_nothing(document: dict[str, Any], bounding: frozenset[str]) -> None:
    block = _block(_read(document), "audit", bounding)
    actions = {block["defaultAction"], *(rule["action"] for rule in block["syscalls"])}
    assert actions <= {"SCMP_ACT_ALLOW", "SCMP_ACT_LOG"}
    assert "errno" not in json.dumps(block).lower()
    assert "listener" not in json.dumps(block)
    listed = block["architectures"]
    assert {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"} <= set(listed)
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("spec", BUILT_IN)
@pytest.mark.parametrize("caps", [frozenset(), frozenset({"CAP_SYS_ADMIN", "CAP_AUDIT_WRITE"})])
def test_audit_allows_without_a_log_only_what_enforce_allows(
    spec: str, caps: frozenset[str]
) -> None:
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
    assert _block(_read(plain), "enforce-log")["flags"] == both
    assert _block(_read({**plain, "flags": []}), "enforce-log")["flags"] == both[1:]
    given = {**plain, "flags": [both[1], "SECCOMP_FILTER_FLAG_TSYNC"]}
    assert _block(_read(given), "enforce-log")["flags"] == given["flags"]
    old = modes.compiled(_read(plain), "enforce-log", arch="amd64", kernel=(4, 14))
    assert old["block"]["flags"] == both[1:]


@pytest.mark.parametrize(
    ("kept", "left"),
    [
        ((), ["SCMP_ARCH_X86_64"]),
        (("SCMP_ARCH_X86",), ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]),
        (("SCMP_ARCH_ARM",), ["SCMP_ARCH_X86_64"]),
    ],
)
def test_the_native_abi_always_stays(kept: tuple[str, ...], left: list[str]) -> None:
    profile = modes.with_abis(builtin.load("moby"), "amd64", kept)
    assert _block(profile, "enforce")["architectures"] == left


def test_a_profile_that_lists_no_abi_gets_none() -> None:
    profile = modes.with_abis(_read({"defaultAction": "SCMP_ACT_ERRNO"}), "amd64", ())
    assert "architectures" not in _block(profile, "enforce")
    assert "architectures" not in _block(profile, "audit", arch="riscv64")


@pytest.mark.parametrize(("mode", "is_kept"), [("enforce", True), ("audit", False)])
def test_audit_has_no_flag_that_the_kernel_takes_with_a_listener_only(
    mode: str, *, is_kept: bool
) -> None:
    document = {"defaultAction": "SCMP_ACT_ERRNO", "flags": [modes.KILLABLE_FLAG, modes.LOG_FLAG]}
    flags = _block(_read(document), mode)["flags"]
    assert (modes.KILLABLE_FLAG in flags) is is_kept
    assert modes.LOG_FLAG in flags
