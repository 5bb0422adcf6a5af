"""The policy's reference matches the settings; links of documents lead somewhere."""

from __future__ import annotations

import json
import re
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
    assert found == {
        name: (one.takes, json.loads(json.dumps(one.default)))
        for name, one in schema.BY_NAME.items()
    }
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
