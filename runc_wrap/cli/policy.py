"""runc-wrapctl policy reference."""

from __future__ import annotations

import click

from runc_wrap.cli import output
from runc_wrap.policy.settings import reference_markdown


@click.group()
def policy() -> None:
    """Document the policy's settings."""


@policy.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
def reference(*, as_json: bool) -> None:
    """Print the documentation of every setting, as Markdown."""
    if as_json:
        output.document(reference_markdown.document())
    else:
        output.say(reference_markdown.markdown())
