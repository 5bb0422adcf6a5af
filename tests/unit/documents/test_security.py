"""docs/security.md: everything it names exists, and every item about an attacker has a test."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "security.md"
TEXT = DOCUMENT.read_text()
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_PATH = re.compile(r"`([\w./-]+)`")


def _section(title: str) -> str:
    """Return the text beneath a heading of the second level."""
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


@cache
def _tests_of(file: str) -> frozenset[str]:
    """Return the names of a file's test functions."""
    tree = ast.parse((ROOT / file).read_text())
    found = (node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    return frozenset(name for name in found if name.startswith("test_"))


def _lines(text: str) -> list[str]:
    """Return the items of all lists, each with its indented lines."""
    items = re.findall(r"^- .*(?:\n  .*)*", text, re.MULTILINE)
    return [str(item) for item in items]


def _rows(text: str) -> list[list[str]]:
    """Return the cells of a table's rows, without its head."""
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def test_every_named_test_exists() -> None:
    assert [(file, name) for file, name in _TEST.findall(TEXT) if name not in _tests_of(file)] == []
    assert TEXT.count("::") == len(_TEST.findall(TEXT))


def test_every_line_on_an_attacker_names_a_test() -> None:
    assert [line for line in _lines(_section("Attackers")) if not _TEST.search(line)] == []


def test_every_input_says_where_it_is_read() -> None:
    for row in _rows(_section("Inputs, and who controls them")):
        files = _PATH.findall(row[3])
        assert files, row
        assert [file for file in files if not (ROOT / file).is_file()] == []
