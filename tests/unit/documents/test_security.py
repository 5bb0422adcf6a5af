"""docs/security.md: every test that it names exists, and every item on attackers names one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "security.md"
TEXT = DOCUMENT.read_text()
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def _tests_of(file: str) -> frozenset[str]:
    """Return the names of a file's test functions."""
    tree = ast.parse((ROOT / file).read_text())
    found = (node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    return frozenset(name for name in found if name.startswith("test_"))


def test_every_named_test_exists() -> None:
    assert [(file, name) for file, name in _TEST.findall(TEXT) if name not in _tests_of(file)] == []
    assert TEXT.count("::") == len(_TEST.findall(TEXT))


def test_every_item_on_an_attacker_names_a_test() -> None:
    section = TEXT.partition("\n## Attackers\n")[2].partition("\n## ")[0]
    items = re.findall(r"^- .*(?:\n  .*)*", section, re.MULTILINE)
    assert items
    assert [item for item in items if not _TEST.search(item)] == []
