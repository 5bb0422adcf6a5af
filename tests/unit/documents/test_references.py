"""What documents refer to exists: settings, links, paths, and the tests that security.md names."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

from runc_wrap.cli import policy
from runc_wrap.policy.settings import schema
from runc_wrap.profiles.unobserved_calls import BASE

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")
_PATH = re.compile(r"`((?:runc_wrap|tests|harness|bench|hooks|deploy|docs|requirements)/[\w./-]+)`")


def test_the_policys_reference_has_every_setting_with_its_values() -> None:
    text = (ROOT / "docs" / "policy-reference.md").read_text()
    found = {one["name"]: (one["takes"], one["default"]) for one in policy.settings(text)}
    plain = {name: json.loads(json.dumps(one.default)) for name, one in schema.BY_NAME.items()}
    assert found == {name: (one.kind.takes, plain[name]) for name, one in schema.BY_NAME.items()}
    (unasked,) = re.findall(r"^Not asked about: (.*?)\.$", text, re.MULTILINE | re.DOTALL)
    assert unasked.split() == [f"`{name}`," for name in sorted(BASE)[:-1]] + [f"`{max(BASE)}`"]


def _anchors(text: str) -> set[str]:
    """Return the anchors of headings: lower case, blanks as dashes, no other signs."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for path, anchor in _LINK.findall(document.read_text()):
        if "://" in path:
            continue
        target = document.parent / path if path else document
        assert target.exists(), path
        assert not anchor or anchor in _anchors(target.read_text()), f"{path}#{anchor}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_named_path_exists(document: Path) -> None:
    missing = [path for path in _PATH.findall(document.read_text()) if not (ROOT / path).exists()]
    assert missing == []


SECURITY = (ROOT / "docs" / "security.md").read_text()
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def _tests_of(file: str) -> frozenset[str]:
    """Return the names of a file's test functions."""
    tree = ast.parse((ROOT / file).read_text())
    found = (node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    return frozenset(name for name in found if name.startswith("test_"))


def test_every_named_test_exists() -> None:
    named = _TEST.findall(SECURITY)
    assert [(file, name) for file, name in named if name not in _tests_of(file)] == []
    assert SECURITY.count("::") == len(named)


def test_every_item_on_an_attacker_names_a_test() -> None:
    section = SECURITY.partition("\n## Attackers\n")[2].partition("\n## ")[0]
    items = re.findall(r"^- .*(?:\n  .*)*", section, re.MULTILINE)
    assert items
    assert [item for item in items if not _TEST.search(item)] == []
