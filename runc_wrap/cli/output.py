"""Shared by all commands: safe printing, and how a failure is shown."""

from __future__ import annotations

import errno
import json
import math
import shutil
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

import click

from runc_wrap import safe_text
from runc_wrap.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WRONG = 1  # the command ran and found a problem
IMPOSSIBLE = 2  # the command could not run
INTERRUPTED, UNREAD = 130, 141  # ended by SIGINT, by SIGPIPE: as a shell says of any program
_MOST_SHOWN = 20  # lines, as of nodes that did not answer
_AS_ROOT = "run it as root"
_TRY = {
    errno.EPERM: _AS_ROOT,
    errno.EACCES: _AS_ROOT,
    errno.EBUSY: "unmount it, if it is a mount point (findmnt shows it), and mount it again",
    errno.ENOTDIR: "see what is in the place of a directory on this path",
    errno.ENOSPC: "make room on that file system (df -h shows it)",
    errno.EROFS: "mount that file system writable",
}
_PIPED_WIDTH = 10_000  # columns; no row is wrapped for a program that reads it


class Number(click.FloatRange):
    """A number in a range; nan and inf are in none."""

    def convert(self, value: Any, *how: Any) -> float:  # noqa: ANN401 - click's
        """Return it as a float."""
        found: float = super().convert(value, *how)
        return found if math.isfinite(found) else self.fail(f"{value} is not finite.", *how)


def say(text: str) -> None:
    """Print text, which may contain foreign text."""
    click.echo(safe_text.lines(text))


def warn(text: str) -> None:
    """Print a remark on stderr."""
    click.echo(safe_text.lines(text), err=True)


def warn_some(sentences: Sequence[str], heading: str = "", begin: str = "  ") -> None:
    """Print the first of these lines on stderr if there is any, and how many more there are."""
    if heading and sentences:
        warn(heading)
    for sentence in sentences[:_MOST_SHOWN]:
        warn(f"{begin}{sentence}")
    if (more := len(sentences) - _MOST_SHOWN) > 0:
        warn(f"{begin}and {more} more; --json lists them")


def line(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print a JSON document in one line."""
    click.echo(json.dumps(value))


def document(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print one JSON document, in ASCII only, so that no foreign text acts on the terminal."""
    pieces = json.JSONEncoder(indent=2).iterencode(value)
    while some := "".join(islice(pieces, 10_000)):  # all of a fleet's is large
        sys.stdout.write(some)
    click.echo()


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; cells may contain foreign text."""
    from runc_wrap.cli import columns as layout  # noqa: PLC0415 - few commands print tables

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPED_WIDTH
    cells = [columns, *([safe_text.lines(cell) for cell in row] for row in rows)]
    click.echo("\n".join(layout.lines(cells, width)))


def end(error: Exception) -> NoReturn:
    """End the command with the error's sentence, and its exit status."""
    text = sentence(error)
    for word in sys.argv[1:]:  # the caller's own line breaks begin no lines here
        given = word[word.find("=") + 1 :]
        text = text.replace(given, given.replace("\n", "\\n"))
    click.echo(f"Error: {safe_text.lines(text)}", err=True)
    raise SystemExit(error.status if isinstance(error, Failure) else IMPOSSIBLE) from error


def sentence(error: Exception) -> str:
    """Return what an error says, and what to try."""
    if not isinstance(error, OSError):
        return str(error)
    advice = f"; try: {_TRY[error.errno]}" if error.errno in _TRY else ""
    what, name = error.strerror or str(error), error.filename2 or error.filename
    what = f"{name}: {what}" if name else what
    return f"{what}{advice}"
