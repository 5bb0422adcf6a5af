"""A service's own log: lines on stderr, which go to systemd's journal."""

from __future__ import annotations

import posix
import sys

_SERVICE = "decide" if sys.argv[1:2] == ["decide"] else "observe"  # start.py ROLE PREFIX


def say(text: str) -> None:
    """Write a line to stderr; without a reader it is lost."""
    try:
        posix.write(2, f"runc-wrap {_SERVICE}: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return
