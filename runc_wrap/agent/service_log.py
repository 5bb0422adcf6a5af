"""A service's own log: lines on stderr, which go to systemd's journal."""

import posix
import sys
import time

from runc_wrap.hotpath.errors import described

_SERVICE = "decide" if sys.argv[1:2] == ["decide"] else "observe"  # start.py ROLE PREFIX
_EVERY = 60.0  # seconds between two complaints
_WARNING = "<4>"  # sd-daemon(3): the journal takes it off, and gives the line that priority


def say(text: str) -> None:
    """Write a line to stderr; without a reader it is lost."""
    _write("", text)


def warn(text: str) -> None:
    """Write one of what somebody has to look at: `journalctl --priority warning` shows it."""
    _write(_WARNING if _is_journal() else "", text)


class Complaints:
    """Counts the service's own errors, and logs one a minute at most."""

    def __init__(self) -> None:
        self._errors = 0
        self._last = -_EVERY

    def note(self, error: Exception) -> None:
        """Count an error; log it unless one was logged just before."""
        self._errors += 1
        if time.monotonic() - self._last >= _EVERY:
            self._last = time.monotonic()
            warn(f"{self._errors} internal errors, the last: {described(error)}.")


def _write(begin: str, text: str) -> None:
    """Write one line: a name with a line end in it may not begin another, with its own priority."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    try:
        posix.write(2, f"{begin}runc-wrap {_SERVICE}: {shown}\n".encode())
    except OSError:
        return


def _is_journal() -> bool:
    """Tell whether stderr is the stream that systemd named (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        stream = posix.fstat(2)
    except OSError:
        return False
    return posix.environ.get(b"JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}".encode()
