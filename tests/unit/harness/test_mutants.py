"""What `make mutants` plants, and which tests it runs."""

from __future__ import annotations

import pytest

from tests import mutants


def test_a_modules_own_tests_come_first() -> None:
    found = mutants.concerned("runc_wrap/hotpath/rule_match.py")
    assert found == [
        "tests/unit/hotpath/test_rule_match.py",
        "tests/unit/policy/settings/test_rule_checks.py",
    ]


def test_no_defect_is_planted_in_type_annotations() -> None:
    text = "def f(a: int | None, b=1 | 2) -> str | None:\n    c: int | str = 1 | 2\n    return c\n"
    told = [
        text.splitlines()[line - 1][begin:end]
        for (line, begin), (_, end) in mutants.annotated(text)
    ]
    assert sorted(told) == ["int | None", "int | str", "str | None"]


@pytest.mark.parametrize(
    ("operator", "is_planted"),
    [
        ("core/ReplaceComparisonOperator_Lt_LtE", True),
        ("core/ReplaceComparisonOperator_Lt_Is", False),
        ("core/ReplaceBinaryOperator_Add_Sub", True),
        ("core/ReplaceBinaryOperator_Add_Pow", False),
        ("core/AddNot", True),
    ],
)
def test_only_plausible_defects_are_planted(operator: str, *, is_planted: bool) -> None:
    assert bool(mutants.PLANTED.fullmatch(operator)) == is_planted
