"""Generated parts of documents match the code; links lead somewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.documents import architecture, picture, texts

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")
_LISTED = re.compile(r"^\| \[`[\w.]+`\]\(\.\./([\w./]+)\) \|", re.MULTILINE)
_PATH = re.compile(r"`((?:runc_wrap|tests|harness|bench|hooks|deploy|docs|requirements)/[\w./-]+)`")


@pytest.mark.parametrize("name", texts.NAMES)
def test_generated_parts_match_the_code(name: str) -> None:
    stale = [str(path) for path, text in texts.written([name]).items() if path.read_text() != text]
    assert stale == [], "run `make docs`"


def test_each_room_imports_only_rooms_below_it() -> None:
    code = architecture.read()
    names = [room.name for room in code.rooms]
    upwards = [(one, other) for one, other in code.imports if names.index(one) > names.index(other)]
    assert upwards == []


def test_every_file_is_listed_and_has_a_describing_first_line() -> None:
    code = architecture.read()
    listed = _LISTED.findall(architecture.markdown(code))
    package = architecture.PACKAGE.rglob("*.py")
    files = {str(path.relative_to(ROOT)) for path in package if path.name != "__init__.py"}
    assert files - {*listed} == set()
    assert [path for path in listed if not architecture.first_line(ROOT / path)] == []


@pytest.mark.parametrize(
    "step", ["runc_wrap.cli.entry_point", "runc_wrap.nothing", "runc_wrap/none.c"]
)
def test_a_way_contains_only_modules_that_it_reaches(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(architecture.WAYS, architecture.CREATE, [step])
    with pytest.raises(ValueError, match=step.replace(".", r"\.")):
        architecture.read()


def test_the_picture_shows_an_additional_import() -> None:
    code = architecture.read()
    more = replace(code, imports=code.imports - {("cli", "hotpath")})
    assert picture.svg(code).count("<circle") == picture.svg(more).count("<circle") + 1


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


def test_the_readme_fits_on_a_few_screens() -> None:
    assert (ROOT / "README.md").read_text().count("\n") < 200
