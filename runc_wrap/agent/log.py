"""What the agent says of itself: lines on stderr, which systemd's journal takes."""

from __future__ import annotations

import posix


def say(text: str) -> None:
    """Write a line to stderr, if anybody listens."""
    try:
        posix.write(2, f"runc-wrap agent: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return
