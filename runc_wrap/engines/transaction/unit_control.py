"""Restarting an engine's unit, and having systemd take a change back if we no longer can."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.transaction import boot_unit, engine_access, taking_back
from runc_wrap.host import program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runc_wrap.engines.transaction.engine_access import Access
    from runc_wrap.node.paths import Places

RUNNING = Path("/run/systemd/system")  # sd_booted(3)
RESTART = "restart"
_SECONDS = 240.0  # a unit may take 90 to stop and as long to start
_SHORT = 20.0
_DEAD_MAN = 1800.0  # seconds: longer than all steps of a transaction together may take
_PAUSE, _TRIES, _LONGEST_TRY = 30, 5, 600  # of `engine revert` by the timer; seconds
_AGAIN = (
    "--property=Restart=on-failure",
    f"--property=RestartSec={_PAUSE}",
    f"--property=StartLimitIntervalSec={_TRIES * (_PAUSE + _LONGEST_TRY)}",
    f"--property=StartLimitBurst={_TRIES}",
)


class Systemd:
    """This node: taking_back.Node."""

    patience = 120.0

    def __init__(self, places: Places) -> None:
        self._var = places.var

    def access(self, engine: str, config: Path) -> Access:
        """Return the access to an engine. Raises EngineError."""
        return engine_access.of(engine, config, self._var)

    def obstacle(self, unit: str) -> EngineError | None:
        """Return why systemd cannot restart this unit, None if it can."""
        if not RUNNING.is_dir():
            return EngineError(
                f"systemd does not run here, and {unit} is restarted through it",
                "a node with systemd",
                f"`engine add` without --restart, then restart what runs as {unit} yourself",
            )
        if self._is_masked(unit):
            return EngineError(
                f"{unit} is masked: systemd would refuse to restart it",
                "a unit that can be restarted",
                f"`systemctl unmask {unit}` first, or `engine add` without --restart",
            )
        if (found := self.state(unit)) == "active":
            return None
        return EngineError(
            f"{unit} is {found}",
            "a unit that runs, as the change is proved by a container",
            f"`systemctl start {unit}` first, or `engine add` without --restart",
        )

    def _is_masked(self, unit: str) -> bool:
        done = program.run("systemctl", "is-enabled", unit, seconds=_SHORT)
        return done.printed.strip().startswith("masked")

    def state(self, unit: str) -> str:
        """Return what `systemctl is-active` says."""
        return program.run("systemctl", "is-active", unit, seconds=_SHORT).printed.strip()

    def restart(self, unit: str, how: str) -> str:
        """Restart or reload a unit and wait for it; return "" or why that failed.

        A unit that has failed too often lately would be refused, so that is forgotten first.
        """
        if how == RESTART:
            program.run("systemctl", "reset-failed", unit, seconds=_SHORT)
        done = program.run("systemctl", how, unit, seconds=_SECONDS)
        return "" if done.is_well else f"`systemctl {how} {unit}` failed: {done.said}"

    def started(self, unit: str) -> float | None:
        """Return when the unit's main process was started, in seconds since the epoch."""
        words = ("show", unit, "--property=ExecMainStartTimestampMonotonic", "--value")
        told = program.run("systemctl", *words, seconds=_SHORT).printed.strip()
        if not told.isdecimal() or told == "0":
            return None
        return time.time() - time.monotonic() + int(told) / 1e6

    def guard(self, places: Places, unit: str, timer: str, command: Sequence[str]) -> None:
        """Have systemd take back what is not over: by a timer, even if we are gone, and at boot.

        One that fails is run again a few times. Raises EngineError and OSError.
        """
        boot_unit.write(places, unit)
        words = [
            "--quiet", "--collect", f"--unit={timer}", f"--on-active={_DEAD_MAN:g}s",
            "--timer-property=AccuracySec=1s", *_AGAIN, "--", *command,
        ]  # fmt: skip
        done = program.run("systemd-run", *words, seconds=_SHORT)
        if not done.is_well:
            boot_unit.remove(places)
            raise EngineError(
                f"systemd takes no timer that would take the change back: {done.said}",
                "a transient timer",
                "`engine add` without --restart",
            )

    def release(self, places: Places, timer: str = "") -> None:
        """Take that back; what cannot be, finds nothing to do."""
        if timer:
            program.run("systemctl", "stop", f"{timer}.timer", seconds=_SHORT)
        with contextlib.suppress(OSError):
            if not taking_back.is_any_left(places):
                boot_unit.remove(places)
