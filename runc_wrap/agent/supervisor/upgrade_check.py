"""Checks whether a release's agent can start: a process loads all of its modules and ends.

A keeper that became a broken release would lose the containers' listeners.
"""

from __future__ import annotations

import posix
import time
from _signal import SIGKILL  # type: ignore[import-not-found]

from runc_wrap.agent.supervisor import workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LONGEST = 10  # seconds
_REST = 60.0  # seconds from one to the next, unless it is asked for


def main(_prefix: str) -> None:
    """Load all modules. Raises what that raises."""
    from importlib import import_module  # noqa: PLC0415 - the keeper does without

    for name in import_module("runc_wrap.agent.start").ROLES.values():
        import_module(name)


class Trial:
    """At most one trial at a time: `pid` is 0 while there is none, `argv` is the keeper to try."""

    def __init__(self) -> None:
        self.pid = 0
        self.argv: Sequence[str] = ()
        self._due = 0.0

    def is_due(self) -> bool:
        """Return whether a trial may begin without a request."""
        return time.monotonic() >= self._due

    def begin(self, argv: Sequence[str], environment: Mapping[bytes, bytes]) -> None:
        """Try, in a child that ends by itself, the keeper that these words start."""
        if self.pid:
            return
        self.argv = argv
        self._due = time.monotonic() + _REST
        self.pid = workers.spawn([*argv[:-2], "trial", argv[-1]], [], environment, _LONGEST)

    def end(self) -> None:
        """Kill the trial, if there is one."""
        if self.pid:
            posix.kill(self.pid, SIGKILL)
