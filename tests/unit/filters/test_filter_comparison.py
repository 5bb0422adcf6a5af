"""Comparing: what counts as a difference, and that no difference is missed."""

import time
from typing import Any

import pytest

from runc_wrap.filters.evaluate import bpf, bpf_arguments
from runc_wrap.filters.evaluate.block_evaluation import Simulation
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.filter_comparison import Expectation, FilterDifference
from runc_wrap.filters.kernel import libseccomp_compiler
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.source_profile import Argument, ProfileError
from tests.unit.profiles.resolving import ADMIN, block_of, compare, needs_libseccomp

pytestmark = needs_libseccomp
CRUN, RUNC = Loader("crun"), Loader("runc")
ENGINES = ["containerd", "moby", "containers-common", "crio"]
BLOCK = block_of("containerd")


def loaded(block: Any, loader: Loader = CRUN) -> bytes:
    return libseccomp_compiler.filter_bytes(Simulation(block, loader).load)


@pytest.mark.parametrize("spec", ENGINES)
@pytest.mark.parametrize("caps", [frozenset(), frozenset({"CAP_SYS_ADMIN", "CAP_BPF"})])
def test_an_engines_profile_equals_itself_within_a_second(spec: str, caps: frozenset[str]) -> None:
    """Nor does the simulation from what libseccomp compiles."""
    block = block_of(spec, caps)
    expectation = Expectation(block, CRUN)
    filters = [loaded(block)]
    begun = time.process_time()
    assert expectation.differences(filters) == ()
    assert time.process_time() - begun < 1
    assert expectation.sampled(filters) == ()


def test_a_call_of_which_only_a_part_is_compared_is_named() -> None:
    """Five arguments, each of which is compared with a value of its own."""
    conditions = [{"index": index, "value": index + 2, "op": "SCMP_CMP_EQ"} for index in range(5)]
    block = with_rule(BLOCK, "mount", args=conditions)
    expectation, filters = Expectation(block, CRUN), [loaded(block)]
    assert expectation.sampled(filters) == ()  # nothing was compared yet
    assert expectation.differences(filters) == ()
    assert expectation.sampled(filters) == ("x86_64 mount", "x86 mount", "x32 mount")
    assert bpf_arguments.interest([bpf.program(filters[0])], ABIS["x86_64"].audit, 165).is_sampled


def test_a_filter_that_is_too_long_by_the_stub_of_runc_is_refused() -> None:
    """That has 14 instructions for three ABIs (read back from a container of runc 1.1.15)."""
    runc = Loader.of("runc", "1.1.15")
    crun, lengthened = (Expectation(BLOCK, one).program.instructions for one in (CRUN, runc))
    assert len(lengthened) - len(crun) == 14
    rules = [{**DENY, "args": [compare("EQ", value)]} for value in range(4100)]
    block: Any = {"defaultAction": "SCMP_ACT_KILL", "syscalls": rules[:4000]}
    block["syscalls"] = rules[: 4000 + 4096 - len(loaded(block)) // 8 - 3]
    assert len(Expectation(block, CRUN).program.instructions) > 4096 - 6
    with pytest.raises(ProfileError, match="the kernel would refuse the filter"):
        Expectation(block, runc)


def test_a_value_between_two_ranges_that_meets_no_mask_is_tried() -> None:
    found = bpf_arguments.Interest()
    rules = (("LE", 100, 0), ("GE", 106, 0), ("MASKED_EQ", 3, 1), ("MASKED_EQ", 1, 0))
    found.note_conditions(Argument(0, value, f"SCMP_CMP_{op}", *two) for op, value, *two in rules)
    assert 103 in found.values(0)
    assert found.alone == len([*found.calls()])


def with_rule(block: Any, *names: str, **fields: Any) -> Any:
    rule = {"names": list(names), "action": "SCMP_ACT_ALLOW", **fields}
    return {**block, "syscalls": [*block["syscalls"], rule]}


def differences_of(*blocks: Any) -> tuple[FilterDifference, ...]:
    """Return how a container with these blocks' filters differs from BLOCK."""
    return Expectation(BLOCK, CRUN).differences([loaded(block) for block in blocks])


def names_of(differences: tuple[FilterDifference, ...], abi: str = "x86_64") -> set[str]:
    return {one.syscall for one in differences if one.abi == abi}


DENY = {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}
TOP = {**BLOCK, "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [DENY]}
UNCOMPARED = [{key: rule[key] for key in rule if key != "args"} for rule in BLOCK["syscalls"]]
CASES: list[tuple[list[Any], set[str], bool, bool | None]] = [
    # filters, calls that differ, are these all, is the container weaker by them
    ([with_rule(BLOCK, "mount")], {"mount"}, True, True),
    ([{**BLOCK, "syscalls": UNCOMPARED}], {"socket", "clone", "personality"}, False, True),
    ([{**BLOCK, "defaultErrnoRet": 111}], {"mount"}, False, False),
    ([BLOCK, TOP], {"mkdir"}, True, False),
    ([block_of("containerd", ADMIN)], {"mount", "umount2", "bpf", "clone3"}, False, None),
    ([], {"mount"}, False, None),
]


@pytest.mark.parametrize(("blocks", "names", "is_all", "is_weaker"), CASES)
def test_what_differs_is_named_on_every_abi(
    blocks: list[Any], names: set[str], *, is_all: bool, is_weaker: bool | None
) -> None:
    found = differences_of(*blocks)
    for abi in ("x86_64", "x86", "x32"):
        named = names_of(found, abi)
        assert named == names if is_all else named >= names
        assert "read" not in named
    assert is_weaker is None or {one.is_weaker for one in found} == {is_weaker}


CONDITIONS = [
    [(4, "EQ", 0x123456789ABCDEF0, 0)],
    [(4, "NE", 0, 0)],
    [(4, "GT", 0xFFFFFFFE, 0)],
    [(4, "LT", 1, 0)],
    [(4, "MASKED_EQ", 0x40000000, 0x40000000)],
    [(4, "MASKED_EQ", 1 << 63, 1 << 63)],
    [(4, "MASKED_EQ", 0xFF00, 0x1200)],
    [(1, "EQ", 78, 0), (3, "EQ", 80, 0)],
]


@pytest.mark.parametrize("conditions", CONDITIONS)
def test_conditions_of_the_filter_are_found(conditions: list[tuple[int, str, int, int]]) -> None:
    args = [compare(op, value, two, index) for index, op, value, two in conditions]
    found = differences_of(with_rule(BLOCK, "mount", args=args))
    assert names_of(found) == {"mount"}
    assert found[0].args is not None


def test_where_combinations_are_too_many_the_tried_ones_have_every_value_of_each_argument() -> None:
    found = bpf_arguments.Interest()
    for index in (0, 1, 5):
        found.note(index, 40 + index, high=False)
        found.note(index, 3, high=True)
    alone = 1 + sum(len(found.values(index)) for index in found.indexes)
    combined = [*found.calls()][alone : alone + 1000]
    assert len({*combined}) == 1000
    for index in found.indexes:
        assert {args[index] for args in combined} == {*found.values(index)}
