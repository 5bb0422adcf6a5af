"""observe sends what enforce denies: asked of the filters that libseccomp makes of both."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runc_wrap.agent import arguments
from runc_wrap.hotpath import codec
from runc_wrap.hotpath.contradictions import FAMILIES, SOCKETS
from runc_wrap.hotpath.profile import resolve
from runc_wrap.node import bpf, explore, reference
from runc_wrap.profiles import abis, actions, builtin, lint, modes, observing, syscalls
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.formats import parse
from runc_wrap.profiles.loading import Loader, load
from runc_wrap.profiles.model import ProfileError
from tests.unit.profiles import strategies

pytestmark = pytest.mark.skipif(
    syscalls.known_to_libseccomp([]) is None or syscalls.native() is not ABIS["x86_64"],
    reason="expectations are written for x86_64 with libseccomp",
)
BUILT_IN = ["containerd@1.6.0", "containerd", "moby", "containers-common", "crio"]
BUILT_IN += ["containers-common@0.49.0"]
CAPS = [
    frozenset(),
    frozenset({"CAP_SYS_ADMIN"}),
    frozenset({"CAP_AUDIT_WRITE", "CAP_SYS_PTRACE", "CAP_BPF"}),
]
PATH = "/var/agent/notify.sock"
NOTIFY, LOG = (actions.code(f"SCMP_ACT_{word}") for word in ("NOTIFY", "LOG"))
PASSES = {actions.ALLOW, LOG}
VALUES = [0, 1, 8, 9, 16, 37, 38, 39, 40, 41, 45, 0x20008, 0x10000000, 2**32 - 1, 2**32 + 40]
_args = st.tuples(*[st.sampled_from(VALUES) | st.integers(0, 2**64 - 1)] * 6)


class Both:
    """A profile's filters for one container: enforced, and observed."""

    def __init__(self, profile: Any, bounding: frozenset[str]) -> None:
        self.blocks = {mode: block(profile, mode, bounding) for mode in ("enforce", "observe")}
        self.programs = {
            mode: bpf.program(reference.filter_bytes(load(one, Loader("runc"))))
            for mode, one in self.blocks.items()
        }
        self.by_family = any(
            item["value"] == 0xFFFFFFFF
            for one in self.blocks["observe"]["syscalls"]
            for item in one.get("args", ())
            if item["op"] == "SCMP_CMP_MASKED_EQ"
        )
        told = self.blocks["observe"]["listenerMetadata"].partition(" ")[2]
        self.whole = arguments.checked(codec.loads(told.encode())) if told else {}

    def asked(self, abi: abis.Abi, number: int, args: bpf.Args) -> tuple[int, int]:
        """Return what a call gets, enforced and observed; what the agent lets pass is allowed."""
        call = bpf.Call(abi.audit, number, args)
        enforced, seen = (bpf.evaluate(self.programs[m], call) for m in ("enforce", "observe"))
        groups = self.whole.get((abi.audit, number))
        if seen == NOTIFY and groups is not None:
            mask = arguments.bits(abi.audit, number)
            seen = actions.ALLOW if arguments.allows(groups, args, mask) else seen
        return enforced, seen

    def listed(self) -> list[abis.Abi]:
        return [abis.of_oci(one) for one in self.blocks["enforce"]["architectures"]]

    def classes(self, abi: abis.Abi, number: int) -> list[bpf.Args]:
        """Return arguments that reach every outcome of either filter."""
        return list(explore.interest(self.programs.values(), abi.audit, number).calls())


def block(profile: Any, mode: str, bounding: frozenset[str]) -> dict[str, Any]:
    listener = modes.Listener(PATH)
    made = modes.compiled(profile, mode, arch="amd64", kernel=(6, 12), listener=listener)
    return resolve(made, bounding)


@cache
def both(spec: str, bounding: frozenset[str]) -> Both:
    return Both(builtin.load(spec), bounding)


def wrong(found: Both, abi: abis.Abi, number: int, args: bpf.Args) -> str:
    """Say what is wrong with a call, "" if nothing is."""
    enforced, seen = found.asked(abi, number, args)
    is_allowed = enforced in PASSES
    name = syscalls.table(abi).get(number)
    if found.by_family and name in SOCKETS and args[0] >= FAMILIES:
        return ""  # no family of the kernel's; rules are compared as the kernel takes it
    may = {enforced} if is_allowed else {NOTIFY} if _must_be_sent(name) else {NOTIFY, LOG}
    if seen in may:
        return ""
    return f"{abi.name} {name} {args}: {actions.describe(enforced)}, {actions.describe(seen)}"


def _must_be_sent(name: str | None) -> bool:
    return name is not None and name not in lint.RUNTIME_CALLS


@pytest.mark.parametrize("bounding", CAPS, ids=lambda caps: ",".join(sorted(caps)) or "none")
@pytest.mark.parametrize("spec", BUILT_IN)
def test_every_call_that_enforce_denies_is_sent_and_no_other(
    spec: str, bounding: frozenset[str]
) -> None:
    found = both(spec, bounding)
    odd = [
        wrong(found, abi, number, args)
        for abi in found.listed()
        for number in [*syscalls.table(abi), 1000, 0x3FFFFFFF]
        for args in found.classes(abi, number)
    ]
    assert [one for one in odd if one] == []


CONDITIONAL = ["clone", "personality", "socket", "socketpair", "clone3"]


@given(
    st.sampled_from(BUILT_IN),
    st.sampled_from(CAPS),
    st.sampled_from(["x86_64", "x86", "x32"]),
    st.sampled_from(CONDITIONAL),
    _args,
)
@settings(max_examples=500)
def test_whatever_the_arguments_what_is_denied_is_sent(
    spec: str, bounding: frozenset[str], abi: str, name: str, args: bpf.Args
) -> None:
    number = syscalls.numbers(ABIS[abi])[name]
    assert wrong(both(spec, bounding), ABIS[abi], number, args) == ""
