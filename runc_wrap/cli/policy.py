"""runc-wrapctl policy reference."""

from __future__ import annotations

import click

from runc_wrap.cli import output
from runc_wrap.policy import reference_markdown


@click.group()
def policy() -> None:
    """Document the policy's settings."""


@policy.command()
def reference() -> None:
    """Print the documentation of every setting, as Markdown."""
    output.say(reference_markdown.markdown())
