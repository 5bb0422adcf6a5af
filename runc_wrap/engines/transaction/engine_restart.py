"""Restarting an engine's unit, and having systemd take a change back if we no longer can."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from runc_wrap.engines import engine_registry
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.transaction import boot_unit
from runc_wrap.host import systemd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runc_wrap.engines.engine_class import Engine
    from runc_wrap.node.paths import Places

RESTART = "restart"
_DEAD_MAN = 1800.0  # seconds: longer than all steps of a transaction together may take
_BEGUN = "ExecMainStartTimestampMonotonic"


class Systemd:
    """The node's systemd and engines. `patience`: seconds until an engine must answer."""

    patience: float = 120.0

    def access(self, engine: str, config: Path) -> Engine:
        """Return an installed engine. Raises EngineError."""
        return engine_registry.installed(engine, config)

    def obstacle(self, unit: str) -> EngineError | None:
        """Return why systemd cannot restart this unit, None if it can."""
        if not systemd.is_booted():
            return EngineError(
                f"systemd does not run here, and {unit} is restarted through it",
                "a node with systemd",
                f"`engine add` without --restart, then restart what runs as {unit} yourself",
            )
        if systemd.is_masked(unit):
            return EngineError(
                f"{unit} is masked: systemd would refuse to restart it",
                "a unit that can be restarted",
                f"`systemctl unmask {unit}` first, or `engine add` without --restart",
            )
        if (found := self.state(unit)) == systemd.ACTIVE:
            return None
        return EngineError(
            f"{unit} is {found}",
            "a unit that runs, as the change is proved by a container",
            f"`systemctl start {unit}` first, or `engine add` without --restart",
        )

    def state(self, unit: str) -> str:
        """Return what `systemctl is-active` says."""
        return systemd.state(unit)

    def restart(self, unit: str, how: str) -> str:
        """Restart or reload a unit and wait for it; return "" or why that failed.

        A unit that was started too often lately would be refused, so that is forgotten first.
        """
        if how == RESTART:
            systemd.failure("reset-failed", unit)
        return systemd.failure(how, unit)

    def started(self, unit: str) -> float | None:
        """Return when the unit's main process was started, in seconds since the epoch."""
        found = systemd.show([unit], _BEGUN).get(unit, {}).get(_BEGUN, "")
        if not found.isdecimal() or found == "0":
            return None
        return time.time() - time.monotonic() + int(found) / 1e6

    def guard(self, places: Places, unit: str, timer: str, command: Sequence[str]) -> None:
        """Have systemd take back what is not over: by a timer, even if we are gone, and at boot.

        What the timer's try leaves, the next command or boot takes back. Raises EngineError and
        OSError.
        """
        boot_unit.write(places, unit)
        if why := systemd.run_later(timer, _DEAD_MAN, command):
            boot_unit.remove(places)
            raise EngineError(
                f"systemd takes no timer that would take the change back: {why}",
                "a transient timer",
                "`engine add` without --restart",
            )

    def release(self, places: Places, timer: str = "") -> None:
        """Take that back; what cannot be, finds nothing to do."""
        if timer:
            systemd.failure("stop", f"{timer}.timer")
        with contextlib.suppress(OSError):
            if not boot_unit.is_any_left(places):
                boot_unit.remove(places)
