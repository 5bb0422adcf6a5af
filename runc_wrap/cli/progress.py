"""Shows on a terminal how far a long command is.

It writes to stderr, if that is a terminal, and not with --json or --quiet. It disappears when the
work is done. Every word that it shows is a constant of runc-wrap, never input.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from runc_wrap.host.progress_meter import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator

MOMENT = 1.0  # seconds; what is done sooner shows nothing
_PAUSE = 0.2  # seconds
_WIDTH = 20  # columns of the bar
_ERASE = "\x1b[1A\x1b[2K"  # the line above, which is where a bar ends
_SILENT = ("as_json", "quiet")  # parameters of a command, or of the root command


@contextmanager
def shown(what: str) -> Iterator[Meter]:
    """Show while the body runs what is done; the body counts by the meter, if it can."""
    meter = Meter()
    if not _is_wanted():
        yield meter
        return
    over = threading.Event()
    thread = threading.Thread(target=_show, args=(what, meter, over), daemon=True)
    thread.start()
    try:
        yield meter
    finally:
        over.set()
        thread.join()


def _is_wanted() -> bool:
    """Tell whether stderr is a terminal that can take a line back, and nobody wants silence."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return False
    context = click.get_current_context(silent=True)
    while context:
        if any(context.params.get(name) for name in _SILENT):
            return False
        context = context.parent
    return True


def _show(what: str, meter: Meter, over: threading.Event) -> None:
    if over.wait(MOMENT):
        return
    bar = click.progressbar(length=0, label=what, width=_WIDTH, file=sys.stderr)
    bar.length = None  # as long as nobody knows it
    with bar:
        while not over.wait(_PAUSE):
            bar.length = meter.total or None
            bar.finished = False  # the total may have grown
            bar.update(meter.done - bar.pos)
    click.echo(_ERASE, nl=False, err=True)
