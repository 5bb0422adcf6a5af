"""The metrics' text, made by a short-lived program at nice 10 and kept for a second.

prometheus_client costs 13 MB and 70 ms, which that program pays and then ends. It is started
without anything from the request (posix_spawn; its standard output is a file in memory). One text
answers all requests that come meanwhile and in the second after, so many scrapes cost as much as
one.
"""

from __future__ import annotations

import posix
import sys
import time
from _signal import SIGKILL  # type: ignore[import-not-found]

KEPT = 1.0  # seconds
LONGEST = 12.0  # seconds until a program that does not end is killed; its own alarm comes first
NICE = 10
_LONGEST_TYPE = 200  # bytes of the first line, the content type
_PROGRAM = (
    f"import os; os.setpriority(0, 0, max(os.getpriority(0, 0), {NICE})); "
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from runc_wrap.agent.metrics_http.scrape_program import main; main(*sys.argv[2:])"
)
_NICE_PROGRAMS = ("/usr/bin/nice", "/bin/nice")


class Exposition:
    """The metrics in one format: `accepted` is a media type, "" for the default."""

    def __init__(self, prefix: str, accepted: str) -> None:
        self._prefix = prefix
        self._accepted = accepted
        self._pid = 0
        self._made = -1  # the descriptor of the text, complete or being written
        self._until = 0.0  # on the monotonic clock: when the program is killed or the text expires
        self.content_type = b""  # "" while there is no text
        self.begin = self.end = 0  # of the text in its file

    @property
    def is_fresh(self) -> bool:
        """Return whether there is a text from the last second."""
        return bool(self.content_type) and time.monotonic() < self._until

    @property
    def is_due(self) -> bool:
        """Return whether a program has to be started to make the text."""
        return not self._pid and not self.is_fresh

    @property
    def until(self) -> list[float]:
        """Return when `tidy` has something to do, on the monotonic clock."""
        return [self._until] if self._pid or self.content_type else []

    def start(self) -> None:
        """Start making the text anew. Raises OSError."""
        self.forget()
        self._made = posix.memfd_create("metrics", posix.MFD_CLOEXEC)
        self._pid = self._spawned()
        self._until = time.monotonic() + LONGEST

    def reap(self) -> bool:
        """Return whether the program has just ended, successfully or not."""
        if not self._pid:
            return False
        try:
            ended, status = posix.waitpid(self._pid, posix.WNOHANG)
        except ChildProcessError:  # it was waited for elsewhere
            ended, status = self._pid, 1
        if not ended:
            return False
        self._pid = 0
        self._take(status)
        return True

    def tidy(self) -> None:
        """Kill a program that takes too long; drop a text that has expired."""
        if self._pid and time.monotonic() >= self._until:
            posix.kill(self._pid, SIGKILL)
            self._until = time.monotonic() + LONGEST
        elif not self._pid and self.content_type and not self.is_fresh:
            self.forget()

    def copy(self) -> int:
        """Return a descriptor of the text for one connection, valid after the text is dropped."""
        return posix.dup(self._made)

    def forget(self) -> None:
        """Drop the text."""
        if self._made >= 0:
            posix.close(self._made)
        self._made, self.content_type = -1, b""

    def _take(self, status: int) -> None:
        """Take the program's output, whose first line is the content type."""
        first, newline, _ = posix.pread(self._made, _LONGEST_TYPE, 0).partition(b"\n")
        if status or not newline:
            self.forget()
            return
        self.content_type = first
        self.begin, self.end = len(first) + 1, posix.fstat(self._made).st_size
        self._until = time.monotonic() + KEPT

    def _spawned(self) -> int:
        root = __file__.rpartition("/runc_wrap/agent/")[0]
        words = [sys.executable, "-I", "-c", _PROGRAM, root, self._prefix, self._accepted]
        words = [*_nice(), *words]
        null = posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)
        try:
            return posix.posix_spawn(
                words[0],
                words,
                {b"LC_CTYPE": b"C.UTF-8"},
                file_actions=[
                    (posix.POSIX_SPAWN_DUP2, null, 0),
                    (posix.POSIX_SPAWN_DUP2, self._made, 1),
                    (posix.POSIX_SPAWN_DUP2, null, 2),
                ],
                setsigmask=[],
                setsigdef=[1, 2, 13, 14, 15],  # HUP INT PIPE ALRM TERM
            )
        finally:
            posix.close(null)


def _nice() -> list[str]:
    """Return words that start a program at NICE; without nice(1) it sets that itself, later."""
    more = NICE - posix.getpriority(posix.PRIO_PROCESS, 0)
    found = [one for one in _NICE_PROGRAMS if posix.access(one, posix.X_OK)]
    return [found[0], "-n", str(more)] if found and more > 0 else []
