"""runc-wrapctl policy reference."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from runc_wrap.cli import output

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
        output.say(text.removesuffix("\n"))


def settings(text: str) -> Iterator[dict[str, Any]]:
    """Yield each setting as `--json` has it, from headings of two levels."""
    table = ""
    for part in text.replace("\n### ", "\n## ").split("\n## ")[1:]:
        title, _, body = part.strip().partition("\n\n")
        if title.startswith("`"):
            line, _, meaning = body.strip().partition("\n\n")
            takes, _, default = " ".join(line.split()).partition(". Default: ")
            yield {
                "name": table + title.strip("`"),
                "takes": takes.removeprefix("Takes ").removesuffix("."),
                "default": json.loads(default.strip("`.") or "null"),
                "meaning": meaning,
            }
        else:
            table = _TABLES.get(title, f"{title.strip('[]')}.")
