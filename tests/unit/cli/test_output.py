"""Printing foreign text, and failing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap import safe_text
from runc_wrap.cli import output


@given(st.text())
def test_control_characters_are_escaped(text: str) -> None:
    shown = safe_text.lines(text)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert safe_text.lines(shown) == shown
    assert shown.count("\n") == text.count("\n")


def test_a_row_of_a_piped_table_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("a", "b"), [("x" * 300, "[bold]\x1b"), ("\t", "y")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].split() == ["x" * 300, "[bold]\\x1b"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("a\x1b"), "a\\x1b"),
        (ValueError("b\nc: it has\nlines"), "b\\nc: it has\nlines"),
        (
            OSError(28, "No space left on device", "/f"),
            "/f: No space left on device; try: make room on that file system (df -h shows it)",
        ),
        (
            PermissionError(13, "Permission denied", "/f"),
            "/f: Permission denied; try: run it as root",
        ),
    ],
)
def test_a_failure_exits_with_2_and_is_a_sentence(
    error: Exception,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["", "b\nc"])
    with pytest.raises(SystemExit) as ended:
        output.end(error)
    assert (ended.value.code, capsys.readouterr().err) == (output.IMPOSSIBLE, f"Error: {said}\n")
