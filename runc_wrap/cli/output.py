"""Shared by all commands: safe printing, and failure with one sentence."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WRONG = 1  # the command ran and found a problem
IMPOSSIBLE = 2  # the command could not run
INTERRUPTED, UNREAD = 130, 141  # ended by SIGINT, by SIGPIPE: as a shell says of any program
_PIPED_WIDTH = 10_000  # columns; no row is wrapped for a program that reads it


class Failure(click.ClickException):
    """The command cannot be carried out."""

    exit_code = IMPOSSIBLE

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    """Return text with all control characters escaped; line breaks and tabs stay."""
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return "    " if character == "\t" else ascii(character)[1:-1]


def say(text: str) -> None:
    """Print text, which may contain foreign text."""
    click.echo(printable(text))


def warn(text: str) -> None:
    """Print a remark on stderr."""
    click.echo(printable(text), err=True)


def line(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print a JSON document in one line."""
    click.echo(json.dumps(value))


def document(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON document, in ASCII only, so that no foreign text acts on the terminal."""
    click.echo(json.dumps(value, indent=2))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; cells may contain foreign text."""
    from runc_wrap.cli import columns as layout  # noqa: PLC0415 - few commands print tables

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPED_WIDTH
    cells = [columns, *([printable(cell) for cell in row] for row in rows)]
    click.echo("\n".join(layout.lines(cells, width)))


def fail(error: Exception) -> NoReturn:
    """End the command with the error's message; main.py ends it if nobody reads its output."""
    if isinstance(error, BrokenPipeError):
        raise error
    raise Failure(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    advice = "; try: run it as root" if isinstance(error, PermissionError) else ""
    what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return f"{what}; nothing was changed{advice}"
