"""What an installation prints: a line for each step as it begins, and its time when it ends."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runc_wrap import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator


class Progress:
    """Prints on stdout, as install.sh does; nothing with `is_quiet`."""

    def __init__(self, *, is_quiet: bool = False) -> None:
        self._is_quiet = is_quiet
        self._notes: list[str] | None = None  # of the step that runs

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Print the step, and its time or that it failed."""
        began, self._notes = time.monotonic(), []
        self._write(f"{what} ... ")
        ending = "failed"
        try:
            yield
            ending = f"{time.monotonic() - began:.1f} s"
        finally:
            notes, self._notes = self._notes, None
            self._write(f"{ending}\n")
            for text in notes:
                self.note(text)

    def note(self, text: str) -> None:
        """Print a remark: at once, or after the line of the step that runs."""
        if self._notes is None:
            self._write(f"{text.rstrip()}\n")
        else:
            self._notes.append(text)

    def _write(self, text: str) -> None:
        if not self._is_quiet:
            sys.stdout.write(safe_text.lines(text))
            sys.stdout.flush()
