"""observe sends what enforce denies: tested with libseccomp's filters for both."""

from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runc_wrap.agent.observe import call_arguments
from runc_wrap.filters.evaluate import bpf, bpf_arguments
from runc_wrap.filters.evaluate.block_evaluation import Simulation
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.hotpath.rule_algebra import FAMILIES, SOCKETS
from runc_wrap.profiles import abis, actions, builtin, return_codes, syscall_names, unobserved_calls
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.arguments.argument_sets import complement
from runc_wrap.profiles.mode_profiles import modes, own_filter_rules
from tests.unit.profiles.resolving import OPS, RUNC, compare, needs_libseccomp, program_of, read

pytestmark = needs_libseccomp
BUILT_IN = ["containerd@1.6.0", "containerd", "moby", "containers-common", "crio"]
BUILT_IN += ["containers-common@0.49.0"]
HELD = ("", "CAP_SYS_ADMIN", "CAP_AUDIT_WRITE CAP_SYS_PTRACE CAP_BPF")
CAPS = [frozenset(one.split()) for one in HELD]
PATH = "/var/agent/notify.sock"
NOTIFY, LOG = (actions.code(f"SCMP_ACT_{word}") for word in ("NOTIFY", "LOG"))
PASSES = {return_codes.ALLOW, LOG}
VALUES = [0, 1, 8, 9, 16, 37, 38, 39, 40, 41, 45, 0x20008, 0x10000000, 2**32 - 1, 2**32 + 40]
_args = st.tuples(*[st.sampled_from(VALUES) | st.integers(0, 2**64 - 1)] * 6)


class Both:
    """A profile's filters for one container: enforced, and observed."""

    def __init__(self, profile: Any, bounding: frozenset[str]) -> None:
        self.blocks = {mode: block(profile, mode, bounding) for mode in ("enforce", "observe")}
        self.programs = {mode: program_of(one) for mode, one in self.blocks.items()}
        self.by_family = any(
            item["value"] == 0xFFFFFFFF
            for one in self.blocks["observe"]["syscalls"]
            for item in one.get("args", ())
            if item["op"] == "SCMP_CMP_MASKED_EQ"
        )
        self.whole = call_arguments.allowed(self.blocks["observe"]["listenerMetadata"])

    def asked(self, abi: abis.Abi, number: int, args: bpf.Args) -> tuple[int, int]:
        """Return a call's answer, enforced and observed; what the agent ignores is allowed."""
        call = bpf.SeccompData(abi.audit, number, args)
        enforced, seen = (bpf.evaluate(self.programs[m], call) for m in ("enforce", "observe"))
        groups = self.whole.get((abi.audit, number))
        if seen == NOTIFY and groups is not None:
            mask = call_arguments.bits(abi.audit, number)
            seen = return_codes.ALLOW if call_arguments.allows(groups, args, mask) else seen
        return enforced, seen

    def listed(self) -> list[abis.Abi]:
        return [abis.of_oci(one) for one in self.blocks["enforce"]["architectures"]]

    def classes(self, abi: abis.Abi, number: int) -> list[bpf.Args]:
        """Return arguments that reach every outcome of either filter."""
        return list(bpf_arguments.interest(self.programs.values(), abi.audit, number).calls())


def block(profile: Any, mode: str, bounding: frozenset[str]) -> dict[str, Any]:
    listener = modes.AgentListener(PATH)
    made = modes.compiled(profile, mode, arch="amd64", kernel=(6, 12), listener=listener)
    return resolve(made, bounding)


@cache
def both(spec: str, bounding: frozenset[str]) -> Both:
    return Both(builtin.load(spec), bounding)


def wrong(found: Both, abi: abis.Abi, number: int, args: bpf.Args) -> str:
    """Return what is wrong with a call, "" if nothing is."""
    enforced, seen = found.asked(abi, number, args)
    is_allowed = enforced in PASSES
    name = syscall_names.table(abi).get(number)
    if found.by_family and name in SOCKETS and args[0] >= FAMILIES:
        return ""  # no family of the kernel's; rules are compared as the kernel takes it
    if name in own_filter_rules.FIRST and own_filter_rules.is_held(name, args[0]):
        is_allowed = False  # it is, and is sent all the same
    may = {enforced} if is_allowed else {NOTIFY} if _must_be_sent(name) else {NOTIFY, LOG}
    if seen in may:
        return ""
    return f"{abi.name} {name} {args}: {actions.describe(enforced)}, {actions.describe(seen)}"


def _must_be_sent(name: str | None) -> bool:
    return name is not None and name not in unobserved_calls.RUNTIME_CALLS


@pytest.mark.parametrize("bounding", CAPS, ids=lambda caps: ",".join(sorted(caps)) or "none")
@pytest.mark.parametrize("spec", BUILT_IN)
def test_exactly_what_enforce_denies_is_sent(spec: str, bounding: frozenset[str]) -> None:
    found = both(spec, bounding)
    odd = [
        wrong(found, abi, number, args)
        for abi in found.listed()
        for number in [*syscall_names.table(abi), 1000, 0x3FFFFFFF]
        for args in found.classes(abi, number)
    ]
    assert [one for one in odd if one] == []


def _conditional(*args: dict[str, Any], action: str = "SCMP_ACT_ALLOW") -> dict[str, Any]:
    return {"names": ["personality"], "action": action, "args": list(args)}


_values = st.sampled_from([0, 1, 8, 40, 41, 2**31, 2**32 - 1, 2**32, 2**64 - 1])
_comparisons = st.builds(compare, st.sampled_from(OPS), _values, _values)
_blocks = st.builds(
    lambda size, place: compare("MASKED_EQ", (1 << 32) - (1 << size), place << size & 0xFFFFFFFF),
    st.integers(0, 31),
    st.integers(0, (1 << 32) - 1),
)


_of_blocks = st.tuples(st.just(True), st.lists(_blocks, min_size=1, max_size=6))
_of_others = st.tuples(st.just(False), st.lists(_comparisons, max_size=3))


@given(_of_blocks | _of_others, _values | st.integers(0, 1 << 33))
def test_a_complement_matches_exactly_what_the_original_does_not(
    compared: tuple[bool, list[dict[str, Any]]], value: int
) -> None:
    """Blocks of an int have one always."""
    has_one, groups = compared[0], [[one] for one in compared[1]]
    found = complement(groups)
    assert found is not None or not has_one
    assert found is None or _any_holds(groups, value) != _any_holds(found, value)


def _any_holds(groups: list[list[dict[str, Any]]], value: int) -> bool:
    told = [
        [[one["index"], one["op"][9:], one["value"], one.get("valueTwo", 0)] for one in group]
        for group in groups
    ]
    return call_arguments.allows(told, (value,) * 6, 2**64 - 1)


COMPLEMENTS = [
    ([], [[]]),
    ([[compare("LT", 38)], [compare("EQ", 39)], [compare("GT", 40)]], [38, 40]),
    ([[compare("NE", 40)]], [40]),
    ([[compare("EQ", 0)], [compare("EQ", 100)]], None),  # between them two comparisons
    ([[compare("EQ", 5), {**compare("EQ", 6), "index": 1}]], None),
    ([[compare("MASKED_EQ", 1 << 40)]], None),  # of no meaning to 32-bit ABIs
]


@pytest.mark.parametrize(("groups", "left"), COMPLEMENTS)
def test_a_complement_that_cannot_be_expressed_is_not_guessed(
    groups: list[list[dict[str, Any]]], left: list[Any] | None
) -> None:
    found = complement(groups)
    if left and left != [[]]:
        assert found is not None
        assert [one["value"] for group in found for one in group] == left
    else:
        assert found == left


def own(document: dict[str, Any]) -> Any:
    architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    return read({**document, "architectures": architectures})


_actions = st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_LOG"])
_rules = st.lists(
    st.builds(lambda one, action: _conditional(one, action=action), _comparisons, _actions)
    | st.builds(lambda action: _conditional(action=action), _actions)
    | st.builds(lambda action: {"names": ["mount", "write"], "action": action}, _actions),
    max_size=4,
)


KILL_NOT_0 = _conditional(compare("NE", 0), action="SCMP_ACT_KILL")
ALWAYS, NOT_0 = _conditional(compare("MASKED_EQ", 0)), _conditional(compare("NE", 0))
KILL_8 = _conditional(compare("EQ", 8), action="SCMP_ACT_KILL")
DENY_NOT_1 = _conditional(compare("NE", 1), action="SCMP_ACT_ERRNO")


@example([KILL_NOT_0, ALWAYS], "SCMP_ACT_ERRNO", (0,) * 6)  # the second beats the first
# all but 0 and 8: one argument compared twice, which only the agent can be told
@example([NOT_0, KILL_8], "SCMP_ACT_ERRNO", (1,) * 6)
# two denials that overlap with different errors: neither takes from the other
@example([DENY_NOT_1, KILL_NOT_0], "SCMP_ACT_ALLOW", (1,) * 6)
@given(_rules, st.sampled_from(["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG"]), _args)
def test_no_call_that_the_owners_profile_denies_is_missed(
    rules: list[dict[str, Any]], default: str, args: bpf.Args
) -> None:
    document = {"defaultAction": default, "syscalls": rules}
    named = ("enforce", "observe", "audit")
    blocks = [block(own(document), mode, frozenset()) for mode in named]
    enforced, seen, logged = (Simulation(one, RUNC) for one in blocks)
    for name in ("personality", "mount", "write"):
        number = syscall_names.numbers(ABIS["x86_64"])[name]
        wanted = enforced.verdict(ABIS["x86_64"], number, args)
        found = seen.verdict(ABIS["x86_64"], number, args)
        audited = logged.verdict(ABIS["x86_64"], number, args)
        if wanted.certain and audited.certain and wanted.code not in PASSES:
            assert audited.code == LOG, name
        if wanted.certain and found.certain and wanted.code not in PASSES:
            assert found.code in (NOTIFY, LOG), (name, found)
            assert found.code != NOTIFY or name != "write"
        if wanted.certain and found.certain and wanted.code in PASSES and found.code == NOTIFY:
            assert _excused(blocks[1], name, args), (name, found)


def _excused(observed: dict[str, Any], name: str, args: bpf.Args) -> bool:
    """Return whether the agent will find that the profile allows a call by its arguments."""
    number = syscall_names.numbers(ABIS["x86_64"])[name]
    groups = call_arguments.allowed(observed["listenerMetadata"])
    return call_arguments.allows(groups.get((ABIS["x86_64"].audit, number), []), args, 2**64 - 1)


def test_what_a_capability_allows_is_not_told_to_the_agent_which_does_not_know_it() -> None:
    """Two comparisons of one argument, which no rule can express: elsewhere the agent compares."""
    groups = [_conditional(compare("EQ", 0)), _conditional(compare("EQ", 100))]
    for includes, is_told in (({}, True), ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, False)):
        rules = [{**groups[0], **includes}, groups[1]]
        profile = own({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})
        found = block(profile, "observe", CAPS[0])
        assert _excused(found, "personality", (0,) * 6) is is_told
