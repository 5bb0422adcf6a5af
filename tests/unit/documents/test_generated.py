"""Generated parts of documents match the code; links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import texts

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")
_PATH = re.compile(r"`((?:runc_wrap|tests|harness|bench|hooks|deploy|docs|requirements)/[\w./-]+)`")


def test_the_policys_reference_matches_the_settings() -> None:
    path, text = texts.WRITTEN["policy-reference"]
    assert path.read_text() == text(), "run `make docs`"


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
