"""One comparison of an argument, as libseccomp's operators mean it."""

import pytest

from runc_wrap.hotpath import operators


@pytest.mark.parametrize(
    ("op", "holding"),
    [
        ("NE", {3, 4, 6, 7}),
        ("EQ", {5}),
        ("LT", {3, 4}),
        ("LE", {3, 4, 5}),
        ("GE", {5, 6, 7}),
        ("GT", {6, 7}),
    ],
)
def test_an_operator_holds_for_these_numbers(op: str, holding: set[int]) -> None:
    found = {given for given in range(3, 8) if operators.holds(f"SCMP_CMP_{op}", given, 5)}
    assert found == holding


def test_a_mask_selects_the_bits_that_are_compared() -> None:
    found = {given for given in range(8) if operators.holds("SCMP_CMP_MASKED_EQ", given, 6, 2)}
    assert found == {2, 3}


def test_bits_of_the_datum_beyond_the_mask_do_not_count() -> None:
    found = {given for given in range(8) if operators.holds("SCMP_CMP_MASKED_EQ", given, 1, 16)}
    assert found == {0, 2, 4, 6}


def test_an_unknown_operator_neither_holds_nor_fails() -> None:
    assert operators.holds("SCMP_CMP_MASKED_NE", 1, 1, 1) is None


def test_each_operator_and_its_opposite_never_agree() -> None:
    for op, opposite in operators.OPPOSITE.items():
        for given in (4, 5, 6):
            assert operators.holds(op, given, 5) is not operators.holds(opposite, given, 5)
