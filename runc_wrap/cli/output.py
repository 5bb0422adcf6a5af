"""What all commands print: foreign text made safe, tables, JSON, progress, and a failure.

Progress goes to stderr, if that is a terminal, and not with --json or --quiet. It disappears when
the work is done. Every word that it shows is a constant of runc-wrap, never input.
"""

import errno
import json
import math
import os
import shutil
import sys
import textwrap
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, zip_longest
from typing import Any, NoReturn

import click

from runc_wrap import safe_text
from runc_wrap.failure import Failure
from runc_wrap.host.progress_meter import Meter

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
_BETWEEN = "  "  # columns
MOMENT = 1.0  # seconds; what is done sooner shows nothing
_PAUSE = 0.2  # seconds
_BAR_WIDTH = 20  # columns
_ERASE = "\x1b[1A\x1b[2K"  # the line above, which is where a bar ends


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
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPED_WIDTH
    cells = [columns, *([safe_text.lines(cell) for cell in row] for row in rows)]
    click.echo("\n".join(laid_out(cells, width)))


def laid_out(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield the lines of rows that all have as many cells, which are safe to print.

    A cell that is too wide goes on in the next line of its column. Where the columns' names
    themselves do not fit, each cell has a line of its own, with its name.
    """
    split = [[cell.split("\n") for cell in row] for row in rows]
    widest = [max(len(one) for cell in cells for one in cell) for cells in zip(*split, strict=True)]
    widths = _shrunk(widest, width - len(_BETWEEN) * (len(widest) - 1))
    if any(len(name) > most for name, most in zip(rows[0], widths, strict=True)):
        for cells in rows[1:]:
            for name, cell in zip(rows[0], cells, strict=True):
                yield from _folded(f"{name}: {cell}", width)
        return
    for row in split:
        folded = (
            [part for line in cell for part in _folded(line, most)]
            for cell, most in zip(row, widths, strict=True)
        )
        for parts in zip_longest(*folded, fillvalue=""):
            padded = (part.ljust(most) for part, most in zip(parts, widths, strict=True))
            yield _BETWEEN.join(padded).rstrip()


def _shrunk(widths: list[int], room: int) -> list[int]:
    """Take from the widest column until all fit, or none has more than one character."""
    shrunk = list(widths)
    while sum(shrunk) > room and max(shrunk) > 1:
        shrunk[shrunk.index(max(shrunk))] -= 1
    return shrunk


def _folded(line: str, most: int) -> list[str]:
    return textwrap.wrap(line, max(most, 1), break_on_hyphens=False) or [""]


@contextmanager
def progress(what: str) -> Iterator[Meter]:
    """Show while the body runs what is done; the body counts by the meter, if it can."""
    meter = Meter()
    if not _is_progress_wanted():
        yield meter
        return
    over = threading.Event()
    thread = threading.Thread(target=_show_progress, args=(what, meter, over), daemon=True)
    thread.start()
    try:
        yield meter
    finally:
        over.set()
        thread.join()


def _is_progress_wanted() -> bool:
    """Tell whether stderr is a terminal that can take a line back, and nobody wants silence."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return False
    context = click.get_current_context(silent=True)
    silent = context and (context.params.get("as_json") or context.find_root().params.get("quiet"))
    return not silent


def _show_progress(what: str, meter: Meter, over: threading.Event) -> None:
    if over.wait(MOMENT):
        return
    bar = click.progressbar(length=0, label=what, width=_BAR_WIDTH, file=sys.stderr)
    bar.length = None  # as long as nobody knows it
    with bar:
        while not over.wait(_PAUSE):
            bar.length = meter.total or None
            bar.finished = False  # the total may have grown
            bar.update(meter.done - bar.pos)
    click.echo(_ERASE, nl=False, err=True)


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
