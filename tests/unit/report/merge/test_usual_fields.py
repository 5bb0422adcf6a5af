"""The short way through a workload's fields takes the usual form only, and takes it alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.node.node_reports import call, workload
from runc_wrap.report.merge import call_fields, node_workload, usual_fields
from runc_wrap.report.merge.call_fields import BadDocument

if TYPE_CHECKING:
    from collections.abc import Callable

WEB = workload("web", call(), call("mount", 165, args=[[1, None]], first=None))
EACH: list[Any] = [
    None, True, False, -1, 0, 1, 1.0, (1 << 49) - 1, 1 << 49, 10**15, 10**15 + 1, 1 << 32,
    "", "safe", "denied", "x" * 65, "x" * 401, "x" * 1001, "x" * 4001, "2026-11-18T00:00:03Z\n",
    [], ["a"] * 11, [1], [None], ["enforce"], ["enforce", "audit"], ["p" * 501], [["x"]], {},
]  # fmt: skip
VALUES = st.sampled_from(EACH)


def _either(read: Callable[[], Any]) -> Any:
    """Return what it returns, or why it is refused."""
    try:
        return read()
    except BadDocument as error:
        return str(error)


def _read(row: Any) -> Any:
    return _either(lambda: node_workload.read(row, "0f"))


def test_the_usual_form_goes_the_short_way() -> None:
    for row in (WEB, workload("db"), workload("x", verdict=None, reason="Unknown", since=None)):
        assert usual_fields.workload(row, "0f") == _read(row)
    for one in WEB["calls"]:
        assert usual_fields.call(one) == call_fields.call(one)


@pytest.mark.parametrize("key", [*WEB])
def test_each_value_in_each_place_is_taken_alike_or_not_at_all(key: str) -> None:
    for value in EACH:
        row = {**WEB, key: value}
        found = _either(lambda row=row: usual_fields.workload(row, "0f"))  # type: ignore[misc]
        assert found in (None, _read(row))


@given(st.lists(st.tuples(st.sampled_from([*WEB]), VALUES), max_size=2), st.none() | st.just("x"))
def test_any_workload_is_taken_alike_or_not_at_all(
    changes: list[tuple[str, Any]], gone: str | None
) -> None:
    row = {**WEB, **dict(changes)}
    if gone and changes:
        del row[changes[0][0]]
    found = _either(lambda: usual_fields.workload(row, "0f"))
    assert found in (None, _read(row))


@given(st.lists(st.tuples(st.sampled_from([*call()]), VALUES), max_size=2), VALUES)
def test_any_call_is_taken_alike_or_not_at_all(changes: list[tuple[str, Any]], other: Any) -> None:
    for one in (call(**dict(changes)), other):
        read = _either(lambda one=one: call_fields.call(one))  # type: ignore[misc]
        assert usual_fields.call(one) in (None, read)


@pytest.mark.parametrize("value", [True, 1.0])
def test_a_number_that_is_none_is_not_taken_for_an_equal_one_that_was_checked(value: Any) -> None:
    assert usual_fields.call(call(arch=1)) is not None
    assert usual_fields.call(call(arch=value)) is None
    assert usual_fields.workload(workload(running=1), None) is not None
    assert usual_fields.workload(workload(running=value), None) is None


def test_what_is_kept_of_checked_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usual_fields, "_MOST_KNOWN", 10)
    usual_fields.known_names.clear()
    for at in range(100):
        assert usual_fields.workload(workload(f"w{at}"), None) is not None
        assert len(usual_fields.known_names) <= 10
    for row in (workload(image="x" * 1001), workload(image=3)):
        assert usual_fields.workload(row, None) is None
    assert not any("x" * 1001 in one or 3 in one for one in usual_fields.known_names)
