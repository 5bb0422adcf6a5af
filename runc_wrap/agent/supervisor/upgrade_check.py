"""Whether a release's agent can be started: one process that loads all it would run, and ends.

A keeper that became a broken release would take the containers' listeners with it.
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
    """Load everything. Raises what that raises."""
    from importlib import import_module  # noqa: PLC0415 - the keeper does without

    for name in import_module("runc_wrap.agent.start").ROLES.values():
        import_module(name)


class Trial:
    """At most one at a time: `pid` is 0 while there is none, `argv` the keeper that is tried."""

    def __init__(self) -> None:
        self.pid = 0
        self.argv: Sequence[str] = ()
        self._due = 0.0

    def is_due(self) -> bool:
        """Return whether one may begin unasked."""
        return time.monotonic() >= self._due

    def begin(self, argv: Sequence[str], environment: Mapping[bytes, bytes]) -> None:
        """Try, in a child that ends by itself, what these words start as the keeper."""
        if self.pid:
            return
        self.argv = argv
        self._due = time.monotonic() + _REST
        self.pid = workers.spawn([*argv[:-2], "trial", argv[-1]], [], environment, _LONGEST)

    def end(self) -> None:
        """Kill it, if there is one."""
        if self.pid:
            posix.kill(self.pid, SIGKILL)
