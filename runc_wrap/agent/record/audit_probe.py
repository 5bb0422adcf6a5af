"""The agent's probe, from its start until it is waited for: its pid is nobody else's meanwhile.

A record is of the probe's call if the kernel's own facts say so: pid, user, call, and a time within
the probe's life. A name proves nothing, for any process may take it.
"""

from __future__ import annotations

import os
import sys
import time
from _signal import SIGKILL  # type: ignore[import-not-found]
from math import inf
from typing import TYPE_CHECKING

from runc_wrap.evidence.attribution.clock_precision import COARSE
from runc_wrap.evidence.sightings import AUDIT
from runc_wrap.profiles.return_codes import LOG

if TYPE_CHECKING:
    from runc_wrap.evidence.sightings import Sighting

GETPRIORITY = (140, 96, 141)  # x86_64's number; i386's, 32-bit arm's and s390's; the generic one
_PROGRAM = f"{__file__.rpartition('/')[0]}/audit_probe_process.py"


class OwnProbe:
    """`pid` is 0 if there is none; `is_running` is as of the last `look`.

    It is a zombie from its end until `reap`, so that no other process has its pid.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.is_running = False
        self.is_seen = False  # its record has come
        self._former = 0  # the pid, also after `reap`
        self._begin = self._end = 0.0

    def start(self) -> None:
        """Start another one, without the former. Raises OSError."""
        self.kill()
        self._begin, self._end, self.is_seen = time.time(), inf, False
        words = [sys.executable, "-I", "-S", "-B", _PROGRAM]
        self.pid = self._former = os.posix_spawn(words[0], words, {}, setsigmask=[])
        self.is_running = bool(self.pid)

    def made(self, one: Sighting) -> bool:
        """Return whether a record is of its call."""
        is_own = (
            one.source == AUDIT
            and one.code == LOG
            and one.number in GETPRIORITY
            and (one.pid, one.uid) == (self._former, 0)
            and self._begin - COARSE <= one.time <= self._end
        )
        self.is_seen |= is_own
        return is_own

    def look(self) -> None:
        """Note its end, without waiting for it."""
        if not self.is_running:
            return
        try:
            how = os.WEXITED | os.WNOHANG | os.WNOWAIT
            ended = os.waitid(os.P_PID, self.pid, how) is not None
        except ChildProcessError:  # it was waited for elsewhere
            self.pid, ended = 0, True
        if ended:
            self.is_running, self._end = False, time.time()

    def reap(self) -> None:
        """Give up the pid of an ended one, once no record of its next owner can seem to be its."""
        if self.pid and not self.is_running and time.time() > self._end + COARSE:
            os.waitpid(self.pid, 0)
            self.pid = 0

    def kill(self) -> None:
        """End it and give up its pid."""
        if self.pid:
            os.kill(self.pid, SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid, self.is_running = 0, False
            self._end = min(self._end, time.time())
