"""CHANGELOG.md tells each change once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parents[3] / "CHANGELOG.md"
BEGINNING = 60  # characters that no two entries share


def test_no_entry_is_there_twice() -> None:
    entries = re.split(r"^- ", CHANGELOG.read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) > 10
    beginnings = Counter(" ".join(entry.split())[:BEGINNING] for entry in entries)
    assert [text for text, times in beginnings.items() if times > 1] == []
