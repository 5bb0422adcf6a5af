"""A command's output on a terminal of a given width, and the control sequences in it."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.host.processes import environment, wait_until

_ROWS = 50
_PATIENCE = 60  # seconds


class Session:
    """A program on a terminal of its own, in the foreground: what is typed reaches it as keys."""

    def __init__(
        self, argv: Sequence[str | os.PathLike[str]], columns: int = 100, **env: str
    ) -> None:
        self._text = b""
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", _ROWS, columns, 0, 0))
        self._running = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(**env),
        )
        os.close(theirs)

    def type(self, keys: str) -> None:
        """Type keys."""
        os.write(self._terminal, keys.encode())

    def until(self, wanted: str) -> str:
        """Wait for a text; return all that was shown up to it since the last call."""
        deadline = time.monotonic() + _PATIENCE
        while wanted.encode() not in self._text:
            left = deadline - time.monotonic()
            assert left > 0, f"waited for {wanted!r}; there is {self._text!r}"
            assert self._read(left), f"it ended before {wanted!r}: {self._text!r}"
        seen, _, self._text = self._text.partition(wanted.encode())
        return seen.decode(errors="replace")

    def reading(self, path: Path) -> None:
        """Wait until the program has begun to read a file."""
        wait_until(lambda: _has_read(self._running.pid, path), f"it to read {path}", _PATIENCE)

    def slowly(self, until: Callable[[str], bool]) -> None:
        """Let the program run for a sixth of the time only, until what it shows is as wanted."""
        deadline = time.monotonic() + _PATIENCE
        while not until(self._text.decode(errors="replace")):
            assert time.monotonic() < deadline, f"there is only {self._text!r}"
            self.hold(0.1)
            if select.select([self._terminal], [], [], 0.02)[0]:
                assert self._read(0), f"it ended before: {self._text!r}"

    def hold(self, seconds: float) -> None:
        """Keep the program from running for a time."""
        self._running.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._running.send_signal(signal.SIGCONT)

    def end(self) -> tuple[str, int]:
        """Wait for the program's end; return what is left of its output, and its exit status."""
        while self._read(60):
            pass
        self.close()
        return self._text.decode(errors="replace"), self._running.wait(60)

    def close(self) -> None:
        """Hang up."""
        os.close(self._terminal)
        self._running.wait(60)

    def _read(self, seconds: float) -> bool:
        """Read more; return whether the program may still write."""
        ready, _, _ = select.select([self._terminal], [], [], seconds)
        assert ready, f"nothing is shown for {seconds:.0f} s after {self._text!r}"
        try:
            part = os.read(self._terminal, 65536)
        except OSError:  # EIO: no process has it open any more
            return False
        self._text += part
        return bool(part)


def _has_read(pid: int, path: Path) -> bool:
    """Return whether a process has a file open, and has read some of it."""
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if fd.readlink() == path:
                return not Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text().startswith("pos:\t0\n")
    return False


def acting(text: bytes) -> list[str]:
    """Return the control characters and invalid UTF-8 of the text; an empty result is good.

    Newlines do not count.
    """
    return sorted({ascii(one) for one in text.decode("utf-8", "surrogateescape") if _acts(one)})


def _acts(character: str) -> bool:
    return character != "\n" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
