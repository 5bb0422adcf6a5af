"""The expected text of the documents with generated parts."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from tests.documents import architecture, picture

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = ("architecture", "policy")
_WIDTH = 115


def written(names: Iterable[str]) -> dict[Path, str]:
    """Return the text that each file of these documents should have."""
    found: dict[Path, str] = {}
    for name in names:
        document = DOCS / f"{name}.md"
        if name == "policy":
            found[document] = _with(document.read_text(), "settings", _settings())
        else:
            code = architecture.read()
            found[document] = _with(document.read_text(), "rooms", architecture.markdown(code))
            found[document.with_suffix(".svg")] = picture.svg(code)
    return found


def _settings() -> str:
    """Return the output of `runc-wrapctl policy reference` as a section of a document, wrapped."""
    program = Path(sys.executable).with_name("runc-wrapctl")
    words = [str(program), "policy", "reference"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    text = re.sub(r"^#", "##", text, flags=re.MULTILINE).strip()
    return "\n".join(map(_wrapped, text.splitlines()))


def _wrapped(line: str) -> str:
    """Return a paragraph that was printed as one line, in lines as wide as the documents'."""
    return textwrap.fill(line, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _with(document: str, name: str, text: str) -> str:
    """Return the document with another text between the two lines of this name."""
    before, begin, rest = document.partition(f"<!-- BEGIN {name}")
    head, newline, rest = rest.partition("\n")
    _, end, after = rest.partition(f"<!-- END {name} -->")
    if not (begin and newline and end):
        message = f"there is no place for {name}: two lines, BEGIN {name} and END {name}"
        raise ValueError(message)
    return f"{before}{begin}{head}\n\n{text}\n\n{end}{after}"
