"""Restarting an engine's unit, and having systemd take a change back if we no longer can.

A timer runs `engine revert`; a unit of ours puts the files back at boot, before the engines start.
That unit exists only while a transaction is not over. It is written where systemd finds it at the
next boot, so that nothing has to be loaded now. It asks no engine: those start after it.
"""

import contextlib
import hashlib
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from runc_wrap.engines import engine_registry
from runc_wrap.engines.engine_class import RESTART, Engine
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import registration_state
from runc_wrap.host import files, polling, systemd
from runc_wrap.node.paths import DEFAULT_PREFIX, Places

_DEAD_MAN = 1800.0  # seconds: longer than all steps of a transaction together may take
_INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BEGUN = "ExecMainStartTimestampMonotonic"
_WANTED_BY = "multi-user.target.wants"
_BOOT_UNIT = """# Of `runc-wrapctl engine`, while a change of an engine is not proved.
[Unit]
Description=runc-wrap: taking back an unfinished change of an engine
Before={before}
RequiresMountsFor={mounts}

[Service]
Type=oneshot
ExecStart={command} --prefix {prefix} engine revert --boot
TimeoutStartSec=1min
"""


class Systemd:
    """The node's systemd and engines. `patience`: seconds until an engine must answer."""

    patience: float = 120.0

    def access(self, engine: str, config: Path) -> Engine:
        """Return an installed engine. Raises EngineError."""
        return engine_registry.installed(engine, config)

    def check_unit(self, unit: str) -> None:
        """Check that systemd can restart this unit. Raises EngineError."""
        if not systemd.is_booted():
            raise EngineError(
                f"systemd does not run here, so that nothing restarts {unit}; try: `engine add` "
                "without --restart, then restart it yourself"
            )
        found = "masked" if systemd.is_masked(unit) else self.state(unit)
        if found != systemd.ACTIVE:
            do = "unmask" if found == "masked" else "start"
            raise EngineError(
                f"{unit} is {found}; try: `systemctl {do} {unit}`, or `engine add` without "
                "--restart"
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
        write_boot_unit(places, unit)
        if why := systemd.run_later(timer, _DEAD_MAN, command):
            remove_boot_unit(places)
            raise EngineError(
                f"systemd takes no timer that would take the change back: {why}; try: `engine add` "
                "without --restart"
            )

    def release(self, places: Places, timer: str = "") -> None:
        """Take that back; what cannot be, finds nothing to do."""
        if timer:
            systemd.failure("stop", f"{timer}.timer")
        with contextlib.suppress(OSError):
            if not registration_state.unfinished(places):
                remove_boot_unit(places)


def boot_unit_name(places: Places) -> str:
    """Return the unit's name; installations of other prefixes have their own."""
    if places.prefix == DEFAULT_PREFIX:
        return "runc-wrap-revert.service"
    digest = hashlib.sha256(str(places.prefix).encode()).hexdigest()[:8]
    return f"runc-wrap-revert-{digest}.service"


def boot_unit_text(places: Places, unit: str) -> str:
    """Return the unit's text; `unit` is the engine's. Raises EngineError."""
    if not systemd.is_plain(places.prefix):
        why = f"a unit cannot name the path {places.prefix}"
        raise EngineError(f"{why}; try: `engine add` without --restart")
    names = [name for kind in engine_registry.ENGINES.values() for name in kind.units]
    before = " ".join(dict.fromkeys(filter(None, [*names, unit])))
    # the state may be on a file system that is mounted late, as one of the network
    var = places.var.resolve()
    mounts = f"{places.prefix} {var}" if systemd.is_plain(var) else str(places.prefix)
    command = places.wrapper.with_name("runc-wrapctl")
    return _BOOT_UNIT.format(before=before, mounts=mounts, command=command, prefix=places.prefix)


def write_boot_unit(places: Places, unit: str, directory: Path = systemd.UNITS) -> None:
    """Write and enable it. Raises EngineError and OSError."""
    path = directory / boot_unit_name(places)
    systemd.write(path, boot_unit_text(places, unit))
    wanted = directory / _WANTED_BY
    wanted.mkdir(exist_ok=True)
    files.replace_link(wanted / path.name, str(path))
    files.sync(wanted)


def remove_boot_unit(places: Places, directory: Path = systemd.UNITS) -> None:
    """Remove it, and what a killed writer left of it. Raises OSError."""
    name = boot_unit_name(places)
    for path in (directory / _WANTED_BY / name, directory / name):
        systemd.unlink(path)


def revert_command(places: Places) -> list[str]:
    """Return the command `engine revert`, for the timer."""
    program = str(places.wrapper.with_name("runc-wrapctl"))
    return [program, "--prefix", str(places.prefix), "engine", "revert"]


def wait_until_answers(node: Systemd, access: Engine, also: str = "") -> None:
    """Wait until a restarted engine can run containers. Raises EngineError."""

    def is_over() -> bool:
        has_failed = bool(access.unit) and node.state(access.unit) == systemd.FAILED
        return not access.silence() or has_failed

    polling.wait_for(is_over, node.patience)
    if why := access.silence():
        who = access.unit or "the engine"
        raise EngineError(f"{who} does not answer{also}: {why}{access.journal}")


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore what interrupts a command, also in the programs that it starts, while the block runs.

    An impatient second Ctrl-C would leave an engine between its files and its restart.
    """
    former = {number: signal.signal(number, signal.SIG_IGN) for number in _INTERRUPTING}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
