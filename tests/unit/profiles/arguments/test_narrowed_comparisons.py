"""A narrowed profile decides by the bits that the kernel uses, tested with libseccomp's filters.

The expected answer is that of the profile as written for arguments with the unused bits cleared.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.block_evaluation import Simulation, compares
from runc_wrap.filters.evaluate.bpf_arguments import Interest
from runc_wrap.filters.evaluate.libseccomp_input import Load, Loader, load
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import actions, builtin, return_codes, syscall_names
from runc_wrap.profiles.abis import ABIS, Abi
from runc_wrap.profiles.arguments import narrowed_comparisons, parameter_widths
from runc_wrap.profiles.arguments.argument_sets import blocks, meet, rest, span_of, spans
from runc_wrap.profiles.mode_profiles import modes
from runc_wrap.profiles.source_profile import Argument, Profile, ProfileError
from tests.unit.profiles.resolving import OPS, answer, compare, needs_libseccomp, program_of, read

X86_64, X86 = ABIS["x86_64"], ABIS["x86"]
EPERM = return_codes.ERRNO | 1
HIGH = [0, 1, 1 << 31, (1 << 32) - 1]
Json = dict[str, Any]


def rule(*args: Json, name: str = "socket", action: str = "ALLOW", number: int = 0) -> Json:
    told: Json = {"names": [name], "action": f"SCMP_ACT_{action}", "args": list(args)}
    return {**told, "errnoRet": number} if number else told


def own(*rules: Json, default: str = "ERRNO") -> Profile:
    document = {
        "defaultAction": f"SCMP_ACT_{default}",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        # else libseccomp makes rules on it of those on socket, and some contradict each other
        "syscalls": [{"names": ["socketcall"], "action": "SCMP_ACT_LOG"}, *rules],
    }
    return read(document)


class Asked:
    """A profile as a filter that libseccomp makes, asked call by call."""

    def __init__(
        self, profile: Profile, mode: str = "enforce", *caps: str, kind: str = "runc"
    ) -> None:
        self.block = self.resolved(profile, mode, *caps)
        loader = Loader("crun" if kind == "crun" else "runc")
        self.load: Load = load(self.block, loader)
        self.simulation = Simulation(self.block, loader)
        self._program = program_of(self.block, loader)

    @staticmethod
    def resolved(profile: Profile, mode: str, *caps: str) -> Json:
        made = modes.compiled(profile, mode, arch="amd64", kernel=(6, 12))
        return resolve(made, frozenset(caps))

    @classmethod
    def loaded(cls, profile: Profile) -> Load:
        return load(cls.resolved(profile, "enforce"), Loader("crun"))

    def __call__(self, *args: int, name: str = "socket", abi: Abi = X86_64) -> int:
        return answer(self._program, abi, name, args)


RANGES = [
    (["NE 5"], [5]),
    (["LT 38", "EQ 39", "GT 40"], [38, 40]),
    (["GE 3"], [0, 1, 2]),
    (["LE 0xfffffffe"], [0xFFFFFFFF]),
    (["MASKED_EQ 0x1 0x1"], [0, 2]),
    (["EQ 0xffffffffffffff9c"], [0, 0xFFFFFF9B]),  # AT_FDCWD as a register may have it
    (["GT 0xffffffff"], [0, 1, 0xFFFFFFFF]),  # holds for no int
]


@needs_libseccomp
@pytest.mark.parametrize(("allowed", "refused"), RANGES)
def test_upper_bits_change_nothing(allowed: list[str], refused: list[int]) -> None:
    told = [(op, [int(one, 0) for one in rest]) for op, *rest in map(str.split, allowed)]
    profile = own(*(rule(compare(op, value, *two)) for op, (value, *two) in told))
    made = Asked(narrowed_comparisons.narrowed(profile).profile)
    for number in refused:
        assert {made(high << 32 | number) for high in HIGH} == {EPERM}
    assert "socket" in {name for one in made.block["syscalls"] for name in one["names"]}


ALL_BUT = rule(compare("NE", 16))
_number = st.sampled_from([0, 1, 5, 38, 40, 1 << 31, (1 << 32) - 1]) | st.integers(0, (1 << 32) - 1)
_compared = st.builds(compare, st.sampled_from(OPS), _number, _number)
_args = st.lists(_compared, min_size=1, max_size=2).map(
    lambda found: [{**one, "index": place} for place, one in enumerate(found)]
)
_outcomes = st.sampled_from([("ALLOW", 0), ("ERRNO", 5), ("ERRNO", 7)])
_drawn = st.builds(lambda args, one: rule(*args, action=one[0], number=one[1]), _args, _outcomes)
_rules = st.lists(_drawn, min_size=1, max_size=3)


def calls(profile: Profile, name: str) -> list[bpf.Args]:
    """Return arguments around everything that a profile compares, upper halves set and not."""
    found = Interest()
    for one in Asked.loaded(profile).rules:
        if one.name == name:
            found.note_conditions(one.conditions)
    return list(islice(found.calls(), 400))


def low(args: bpf.Args, name: str) -> bpf.Args:
    bits = [parameter_widths.bits(name, place) for place in range(6)]
    a, b, c, d, e, f = (one & (1 << wide) - 1 for one, wide in zip(args, bits, strict=True))
    return a, b, c, d, e, f


@needs_libseccomp
@given(_rules, st.sampled_from(["runc", "crun"]), st.sampled_from(["ALLOW", "ERRNO"]))
@example([rule(compare("NE", 2))], "runc", "ERRNO")  # whose upper bits pass as it is written
@example([rule(compare("EQ", 40), action="ERRNO", number=7), ALL_BUT], "runc", "ERRNO")  # it wins
@example([rule(compare("EQ", 40), action="ERRNO", number=1), ALL_BUT], "runc", "ERRNO")  # dropped
@example([rule(compare("EQ", 5), compare("EQ", 6))], "runc", "ERRNO")  # alternatives
def test_a_narrowed_profile_compiled_by_libseccomp_decides_by_the_lower_bits(
    rules: list[Json], kind: str, default: str
) -> None:
    profile = own(*rules, default=default)
    found = narrowed_comparisons.narrowed(profile)
    assume(found.calls == ("socket",))
    assume(_is_taken(profile, kind))  # rules that contradict each other are refused as written
    made = Asked(found.profile, kind=kind)
    for args in calls(profile, "socket"):
        wanted = meant(profile, low(args, "socket"))
        assert made(*args) == wanted, args
        simulated = made.simulation.verdict(X86_64, syscall_names.numbers(X86_64)["socket"], args)
        assert simulated is not None
        assert simulated.code == wanted


def _is_taken(profile: Profile, kind: str) -> bool:
    try:
        Asked(profile, kind=kind)
    except ProfileError:
        return False
    return True


def _holds(conditions: Iterable[Argument], args: bpf.Args) -> bool:
    return all(compares(one, args[one.index], (1 << 64) - 1) for one in conditions)


def meant(profile: Profile, args: bpf.Args) -> int:
    """Return what the rules mean, not libseccomp's filter for them, which is sometimes wrong.

    Only a denial of one number may contradict another rule here, and wins.
    """
    written = Asked.loaded(profile)
    in_force = [one for one in written.rules if one.name == "socket"]
    codes = {one.code for one in in_force if _holds(one.conditions, args)}
    return min(codes, key=actions.restriction) if codes else written.default


@needs_libseccomp
@pytest.mark.parametrize("caps", [(), ("CAP_AUDIT_WRITE",), ("CAP_SYS_ADMIN", "CAP_AUDIT_WRITE")])
@pytest.mark.parametrize("spec", sorted(builtin.names()))
def test_built_in_profiles_decide_the_same_by_lower_bits(spec: str, caps: tuple[str, ...]) -> None:
    profile = builtin.load(spec)
    found = narrowed_comparisons.narrowed(profile)
    written, made = Asked(profile, "enforce", *caps), Asked(found.profile, "enforce", *caps)
    assert found.calls
    assert not found.left
    for name in found.calls:
        for args in calls(profile, name):
            wanted = written(*low(args, name), name=name)
            assert made(*args, name=name) == wanted, (name, args)
            x86 = made(*args, name=name, abi=X86), written(*args, name=name, abi=X86)
            assert x86[0] == x86[1]


@needs_libseccomp
@pytest.mark.parametrize("spec", sorted(builtin.names()))
@pytest.mark.parametrize("mode", ["audit", "observe"])
def test_the_other_modes_record_what_enforce_denies_by_the_lower_bits(spec: str, mode: str) -> None:
    made = narrowed_comparisons.narrowed(builtin.load(spec)).profile
    enforced, seen = Asked(made), Asked(made, mode)
    for args in ((40, 1, 0), (40 + (1 << 32), 1, 0), (1, 1, 0), (1 + (1 << 32), 1, 0)):
        passes = enforced(*args) == return_codes.ALLOW
        assert (seen(*args) == return_codes.ALLOW) == passes


NOT_NARROWED = [
    # which of two wins where both hold is libseccomp's to say, and depends on the operators
    [rule(compare("NE", 5)), rule(compare("LT", 9), action="ERRNO", number=7)],
    [rule(compare("GT", 1 << 40))],  # no int is that
    [rule(compare("NE", 5), compare("NE", 6, index=1))],  # 1024 rules
]


@pytest.mark.parametrize("rules", NOT_NARROWED)
def test_a_rule_that_cannot_be_narrowed_exactly_stays_and_is_named(rules: list[Json]) -> None:
    profile = own(*rules)
    found = narrowed_comparisons.narrowed(profile)
    assert found == narrowed_comparisons.Narrowed(profile, (), ("socket",))


def test_a_profile_gets_a_bounded_number_of_rules() -> None:
    names = "socket socketpair fcntl ioctl flock listen shutdown".split()
    rules = [rule(compare("NE", 2), name=name) for name in names]
    found = narrowed_comparisons.narrowed(own(*rules))
    assert (len(found.calls), len(found.left)) == (6, 1)
    assert len(found.profile.rules) <= 1 + len(names) + narrowed_comparisons.MOST_RULES


def test_parameters_as_wide_as_the_register_stay_as_written() -> None:
    keyctl = rule(compare("NE", 5, index=1), name="keyctl")
    profile = own(rule(compare("NE", 5), name="clone"), keyctl)
    assert narrowed_comparisons.narrowed(profile) == narrowed_comparisons.Narrowed(profile)


def test_calls_of_one_rule_are_distinguished_by_their_parameters() -> None:
    both = {**rule(compare("NE", 5)), "names": ["clone", "socket", "socketpair"]}
    [_, first, *others] = narrowed_comparisons.narrowed(own(both)).profile.rules
    assert (first.names, first.args[0].op) == (("clone",), "SCMP_CMP_NE")
    assert {one.names for one in others} == {("socket", "socketpair")}
    assert len(others) == 32


@given(st.integers(0, 255), st.integers(0, 255))
def test_blocks_cover_a_span_without_overlap(one: int, other: int) -> None:
    first, last = sorted((one, other))
    found = blocks(first, last, 8)
    held = [n for n in range(256) for mask, datum in found if n & mask == datum]
    assert sorted(held) == list(range(first, last + 1))
    assert all(mask for mask, _ in found)
    assert not any(meet(a, b) for place, a in enumerate(found) for b in found[:place])
    for mask, datum in found:
        members = [n for n in range(256) if n & mask == datum]
        assert span_of(mask, datum, 8) == (members[0], members[-1])


@given(st.sampled_from(OPS[:-1]), st.integers(0, 15))
def test_spans_and_their_complement_cover_everything(op: str, value: int) -> None:
    held = spans(f"SCMP_CMP_{op}", value, 15)
    both = [n for first, last in [*held, *rest(held, 15)] for n in range(first, last + 1)]
    assert sorted(both) == list(range(16))


def test_parameter_types_match_the_kernels_prototypes() -> None:
    types = {"socket": [32, 32, 32, 64], "openat": [32, 64, 32, 16], "ioctl": [32, 32, 64]}
    for name, found in (types | {"clone": [64], "unshare": [64], "ptrace": [64]}).items():
        assert [parameter_widths.bits(name, place) for place in range(len(found))] == found


@needs_libseccomp
def test_libseccomp_knows_every_call_of_the_table() -> None:
    names = frozenset(parameter_widths._BITS)  # noqa: SLF001 - the table
    assert syscall_names.known_to_libseccomp(names) == names


REGISTERS = [
    (0xFFFFFFFF, [(0xFFFFFFFF, 0xFFFFFFFF)]),
    (1 << 32, None),
    (0xFFFFFFFF00000001, None),
    (0xFFFFFFFF7FFFFFFF, None),
    (0xFFFFFFFF80000000, [(0xFFFFFFFF, 0x80000000)]),
    (0xFFFFFFFFFFFFFFFF, [(0xFFFFFFFF, 0xFFFFFFFF)]),
]


@pytest.mark.parametrize(("value", "found"), REGISTERS)
def test_a_register_is_a_negative_int_only_if_it_is_sign_extended(
    value: int, found: list[tuple[int, int]] | None
) -> None:
    one = Argument(index=0, value=value, op="SCMP_CMP_EQ")
    assert narrowed_comparisons.numbers(one, "personality") == found
