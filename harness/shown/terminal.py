"""A command's output on a terminal of a given width, and the control sequences in it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import unicodedata
from typing import TYPE_CHECKING

from harness.host.processes import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

_STYLE = re.compile(r"\x1b\[[0-9;]*m")  # SGR: colours, bold
_ROWS = 50


def shown(argv: Sequence[str | os.PathLike[str]], columns: int) -> tuple[bytes, int]:
    """Run a command on a terminal; return all bytes that it wrote there, and its exit status."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", _ROWS, columns, 0, 0))
        env = environment(TERM="xterm-256color")
        env.pop("COLUMNS", None)
        running = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    finally:
        os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        text = b"".join(_parts(terminal.fileno()))
        return text, running.wait(60)


def _parts(terminal: int) -> list[bytes]:
    found: list[bytes] = []
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # EIO: no process has it open any more
            return found
        if not part:
            return found
        found.append(part)


def acting(text: bytes, *, on_terminal: bool = False) -> list[str]:
    """Return the control characters and invalid UTF-8 of the text; an empty result is good.

    Newlines do not count; on a terminal, neither do its own CR LF and SGR sequences.
    """
    decoded = text.decode("utf-8", "surrogateescape")
    if on_terminal:
        decoded = _STYLE.sub("", decoded).replace("\r\n", "\n")
    return sorted({ascii(one) for one in decoded if _acts(one)})


def _acts(character: str) -> bool:
    return character != "\n" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
