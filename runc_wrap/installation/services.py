"""The services of an installation, as units of systemd.

The units of a release name /opt/runc-wrap; here they get the installation's own prefix. A restart
is one job, over which systemd keeps the descriptors that the services stored.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.host import files, program
from runc_wrap.installation.release_parts import DEFAULT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runc_wrap.installation.installation_record import Record

UNITS = Path("/etc/systemd/system")
VENDOR = Path("/usr/lib/systemd/system")
RUNNING = Path("/run/systemd/system")  # sd_booted(3)
_SECONDS = 200  # of one command: a unit may take 180 to start, and 3 to stop
_LARGEST = 1 << 20
_WRITER = "runc-wrap"
_PLAIN = re.compile(r"[A-Za-z0-9/._+@:-]+")  # what a unit takes without quotes and specifiers
_LONGEST_SOCKET = 107  # bytes of a path, unix(7)
_RUNS = frozenset({"active", "activating", "reloading", "refreshing", "failed"})


class ServiceFailed(Exception):
    """A command of systemd failed, or a unit is not active; the message says what to do."""


def texts(directory: Path, prefix: Path) -> dict[str, str]:
    """Return {unit: text} of a directory of units, for this prefix."""
    units = sorted(directory.glob("*.s*"))
    return {unit.name: unit.read_text().replace(DEFAULT_PREFIX, str(prefix)) for unit in units}


def obstacle(prefix: Path, units: Iterable[str]) -> str:
    """Return why this installation gets no services, "" if it may."""
    if not RUNNING.is_dir():
        return "systemd does not run here"
    if not _PLAIN.fullmatch(str(prefix)):
        return f"a unit cannot name the path {prefix}"
    if len(f"{prefix}/var/agent/evidence.sock".encode()) > _LONGEST_SOCKET:
        return f"{prefix} is too long for the paths of sockets"
    for path in (directory / unit for unit in units for directory in (UNITS, VENDOR)):
        text = _text(path)
        if text is not None and not _is_of(text, prefix):
            return f"{path} is another installation's"
    return ""


def _is_of(text: str, prefix: Path) -> bool:
    return f"={prefix}/" in text


def _text(path: Path) -> str | None:
    try:
        return files.read(path, _LARGEST, follows=True).decode(errors="replace")
    except (OSError, ValueError):
        return None


class Services:
    """The units of one release; `put_back` and `start_former` undo `put` and `start`."""

    def __init__(self, wanted: dict[str, str]) -> None:
        self._wanted = wanted
        self._before = {name: _text(UNITS / name) for name in wanted}
        self._states = {name: state(name) for name in self._before}
        self._new = [name for name in wanted if self._before[name] is None]

    def put(self, record: Record) -> None:
        """Write the units. Raises OSError."""
        record.units = sorted({*record.units, *self._wanted})
        UNITS.mkdir(parents=True, exist_ok=True)
        for name, text in self._wanted.items():
            files.replace(UNITS / name, text.encode(), 0o644, writer=_WRITER)

    def start(self) -> None:
        """Enable and start new units, restart those that run. Raises ServiceFailed.

        What its owner stopped is left alone.
        """
        _systemctl("daemon-reload")
        if self._new:
            _systemctl("enable", "--now", *self._new)
        restarted = [name for name in self._wanted if self._must_restart(name)]
        if restarted:
            _systemctl("restart", *restarted)
        for name in (*self._new, *restarted):
            if (found := state(name)) != "active":
                raise ServiceFailed(f"{name} is {found}; `journalctl -u {name}` says why")

    def _must_restart(self, name: str) -> bool:
        """Tell whether it ran; a socket stays as it is, unless its text is another one."""
        if name in self._new or self._states[name] not in _RUNS:
            return False
        return not name.endswith(".socket") or self._before[name] != self._wanted[name]

    def put_back(self) -> None:
        """Restore the units' files."""
        if self._new:
            _tried("disable", "--now", *self._new)
        for name, text in self._before.items():
            if text is None:
                (UNITS / name).unlink(missing_ok=True)
            else:
                files.replace(UNITS / name, text.encode(), 0o644, writer=_WRITER)

    def start_former(self) -> None:
        """Restart what ran before, once the release before is in force again."""
        _tried("daemon-reload")
        if ran := [name for name in self._before if self._states[name] in _RUNS]:
            _tried("restart", *ran)


def remove(names: Iterable[str]) -> None:
    """Stop, disable and remove units. Raises ServiceFailed and OSError."""
    there = [name for name in names if (UNITS / name).exists()]
    if there and RUNNING.is_dir():
        _systemctl("disable", "--now", *there)
    _unlink(there)
    if there and RUNNING.is_dir():
        _systemctl("daemon-reload")


def installed(prefix: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield those of the units that are there and are this installation's."""
    for name in names:
        if (text := _text(UNITS / name)) is not None and _is_of(text, prefix):
            yield name


def _unlink(names: Iterable[str]) -> None:
    for name in names:
        (UNITS / name).unlink(missing_ok=True)
        (UNITS / f".{name}.{_WRITER}.new").unlink(missing_ok=True)  # if a writer was killed


def state(name: str) -> str:
    """Return what `systemctl is-active` says."""
    return _run("is-active", name).printed.strip() or "unknown"


def _systemctl(*words: str) -> None:
    ended = _run(*words)
    if not ended.is_well:
        raise ServiceFailed(f"`systemctl {' '.join(words)}` failed: {ended.said}")


def _tried(*words: str) -> None:
    """Run a command whose failure cannot be helped."""
    _run(*words)


def _run(*words: str) -> program.Ended:
    return program.run("systemctl", *words, seconds=_SECONDS)
