"""runc-wrapctl policy reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from runc_wrap.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLES = {"At the top": "", "[[rule]]": "rule."}


@click.group()
def policy() -> None:
    """Document the policy's settings."""


@policy.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
def reference(*, as_json: bool) -> None:
    """Print docs/policy-reference.md, which documents every setting."""
    text = Path(__file__).with_name("policy-reference.md").read_text("utf-8")
    if as_json:
        output.document([*settings(text)])
    else:
        output.say(text)


def settings(text: str) -> Iterator[dict[str, str]]:
    """Yield each setting's name, what it takes and its meaning, from headings of two levels."""
    table = ""
    for part in text.replace("\n### ", "\n## ").split("\n## ")[1:]:
        title, _, body = part.strip().partition("\n\n")
        if title.startswith("`"):
            takes, _, meaning = body.strip().partition("\n\n")
            name = table + title.strip("`")
            yield {"name": name, "takes": " ".join(takes.split()), "meaning": meaning}
        else:
            table = _TABLES.get(title, f"{title.strip('[]')}.")
