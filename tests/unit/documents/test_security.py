"""docs/security.md: everything it names exists, and every item about an attacker has a test."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = ROOT / "docs" / "security.md"
TEXT = DOCUMENT.read_text()
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")
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


@pytest.mark.parametrize("file", sorted({file for file, _ in _TEST.findall(TEXT)}))
def test_every_named_test_exists(file: str) -> None:
    named = {name for other, name in _TEST.findall(TEXT) if other == file}
    assert named - _tests_of(file) == set()


def test_everything_that_looks_like_a_test_is_one() -> None:
    assert TEXT.count("`tests/") - len(_TEST.findall(TEXT)) == len(re.findall(r"`tests/\w+`", TEXT))
    assert TEXT.count("::") == len(_TEST.findall(TEXT))


@pytest.mark.parametrize("line", _lines(_section("Attackers")), ids=lambda line: line[2:40])
def test_every_line_on_an_attacker_names_a_test(line: str) -> None:
    assert _TEST.search(line), line


def test_there_are_four_attackers() -> None:
    assert _section("Attackers").count("\n### ") == 4


@pytest.mark.parametrize(
    "row", _rows(_section("Inputs, and who controls them")), ids=lambda row: row[0][:40]
)
def test_every_input_says_who_controls_it_and_where_it_is_read(row: list[str]) -> None:
    _, who, how, where = row
    assert who, row
    assert how, row
    files = _PATH.findall(where)
    assert files, row
    assert [file for file in files if not (ROOT / file).is_file()] == []


def _anchors(text: str) -> set[str]:
    """Return the anchors of headings: lower case, blanks as dashes, no other signs."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", ["docs/security.md", "SECURITY.md"])
def test_every_link_leads_somewhere(name: str) -> None:
    document = ROOT / name
    text = document.read_text()
    for path, anchor in _LINK.findall(text):
        target = document.parent / path if path else document
        assert target.is_file(), path
        assert not anchor or anchor in _anchors(target.read_text()), anchor


def test_the_readme_and_the_security_policy_link_to_it() -> None:
    assert "(docs/security.md)" in (ROOT / "README.md").read_text()
    assert "(docs/security.md)" in (ROOT / "SECURITY.md").read_text()
