"""Notifies systemd that the keeper is alive: sd_watchdog_enabled(3), WatchdogSec=."""

from __future__ import annotations

import posix
import time

from runc_wrap.agent import systemd_protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_ALIVE = b"WATCHDOG=1"


class Watchdog:
    """Notifies twice within systemd's timeout; never if there is no timeout."""

    def __init__(self, upstream: str, environment: Mapping[bytes, bytes]) -> None:
        waits = environment.get(b"WATCHDOG_USEC", b"")
        whose = environment.get(b"WATCHDOG_PID", b"")
        is_ours = waits.isdigit() and whose in (b"", b"%d" % posix.getpid())
        self._every = int(waits) / 2e6 if is_ours and upstream else 0.0
        self._upstream = upstream
        self._due = time.monotonic()

    def seconds(self) -> list[float]:
        """Return in how many seconds to notify again, [] for never."""
        return [self._due - time.monotonic()] if self._every else []

    def tell_due(self) -> None:
        """Notify systemd, if it is time."""
        if self._every and self._due <= time.monotonic():
            systemd_protocol.send(self._upstream, _ALIVE)
            self._due = time.monotonic() + self._every
