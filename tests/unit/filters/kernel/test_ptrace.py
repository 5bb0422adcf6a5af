"""Several processes are read although one of them blocks the reader."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from runc_wrap.filters.kernel import ptrace

if TYPE_CHECKING:
    import pytest

BLOCKED = ptrace.FiltersUnreadableError("it blocks")
FILTERS = (b"a filter",)


def test_those_begun_before_a_process_that_blocks_are_read_after_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first had not stopped yet when the second blocked."""
    asked: list[list[int]] = []
    turns: list[tuple[dict[int, ptrace.Read], int | None]] = [
        ({2: BLOCKED}, 2),
        ({3: FILTERS, 1: FILTERS}, None),
    ]

    def once(pids: list[int], _deadline: float) -> tuple[dict[int, ptrace.Read], int | None]:
        asked.append(list(pids))
        return turns.pop(0)

    monkeypatch.setattr(ptrace, "status", lambda _: SimpleNamespace(mode=2))
    monkeypatch.setattr(ptrace, "_once", once)
    assert ptrace.read_all([1, 2, 3]) == {1: FILTERS, 2: BLOCKED, 3: FILTERS}
    assert asked == [[1, 2, 3], [3, 1]]
