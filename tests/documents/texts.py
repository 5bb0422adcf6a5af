"""The text of each document that is made from the code, and its file."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from tests.documents import architecture

ROOT = Path(__file__).resolve().parents[2]
_WIDTH = 115


def policy_reference() -> str:
    """Return the output of `runc-wrapctl policy reference`, wrapped."""
    program = Path(sys.executable).with_name("runc-wrapctl")
    words = [str(program), "policy", "reference"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    return "\n".join(map(_wrapped, text.splitlines())) + "\n"


def _wrapped(line: str) -> str:
    """Return a paragraph that was printed as one line, in lines as wide as the documents'."""
    return textwrap.fill(line, _WIDTH, break_long_words=False, break_on_hyphens=False)


WRITTEN = {
    "architecture": (ROOT / "build" / "architecture.md", architecture.listing),
    "policy-reference": (ROOT / "docs" / "policy-reference.md", policy_reference),
}
