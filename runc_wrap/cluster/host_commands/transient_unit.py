"""A command on the host: a transient unit of its systemd, which the pod's end does not end.

A pod that follows one that was killed waits for what still runs, whoever began it, and then looks:
what a command did is seen on the node. What ended while nobody waited is forgotten.
"""

import hashlib
import json
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runc_wrap import safe_text
from runc_wrap.cluster.host_commands import systemd_dbus
from runc_wrap.cluster.host_commands.systemd_dbus import DONE, FAILED, GONE, Manager, UnitEnd
from runc_wrap.host import files

_PAUSE = 0.5  # seconds
_LARGEST = 1 << 20  # bytes of what a command printed
_LONGEST = 600  # characters of a sentence
_LONGEST_FINDINGS = 8000  # characters
_MOST_TEXTS, _LONGEST_TEXT = 20, 1000  # characters of one
_COMPLAINT = re.compile(r"^Error: ", re.MULTILINE)
_PREFIX = "runc-wrap-cluster-"
# systemd.exec(5), "Process Exit Codes": those that it gives a unit as simple as ours
_SYSTEMDS, _EXEC = range(200, 244), 203
_BEYOND = 60.0  # seconds that systemd may need to end a command


@dataclass(frozen=True)
class Command:
    """One step's command; `seconds`: after which systemd ends it.

    `stays`: its unit does until somebody has seen how it ended; otherwise only what it prints is
    wanted.
    """

    step: str
    argv: tuple[str, ...]
    seconds: float
    stays: bool = True

    @property
    def unit(self) -> str:
        """Return its unit's name."""
        digest = hashlib.sha256("\0".join(self.argv).encode()).hexdigest()[:8]
        return f"{_PREFIX}{self.step}-{digest}.service"


@dataclass(frozen=True)
class CommandEnd:
    """A command that is over: whether it succeeded, and what it printed."""

    is_well: bool
    printed: str = ""
    said: str = ""

    @property
    def document(self) -> Any:  # noqa: ANN401 - any JSON value
        """Return the JSON document that it printed, None if it printed none."""
        try:
            return json.loads(self.printed)
        except (ValueError, RecursionError):
            return None

    @property
    def members(self) -> dict[str, Any]:
        """Return the members of the document, {} if it is no object."""
        document = self.document
        return document if isinstance(document, dict) else {}

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of the document, or one text of it, as far as it can be shown."""
        found = self.members.get(name)
        each = found if isinstance(found, list) else [found] if found else []
        return tuple(safe_text.name(one, _LONGEST_TEXT) for one in each[:_MOST_TEXTS])

    @property
    def reason(self) -> str:
        """Return why it failed, in its own words: the last lines that fit, the last one anyway."""
        given, found = self.members.get("reason") or self.said or self.printed, ""
        for line in reversed(str(given).splitlines()):
            joined = f"{line.strip()} {found}".strip()
            if found and len(joined) > _LONGEST:
                break
            found = joined
        return safe_text.fitted(found.removeprefix("Error: "), _LONGEST) or "it gave no reason"

    @property
    def findings(self) -> str:
        """Return all that a command complained of, a line for each; its reason if of nothing."""
        _, *complaint = _COMPLAINT.split(self.said, maxsplit=1)
        lines = [line.strip() for line in "".join(complaint).splitlines()]
        return safe_text.fitted("\n".join(filter(None, lines)), _LONGEST_FINDINGS) or self.reason


def run(manager: Manager, place: Path, command: Command) -> CommandEnd:
    """Run a command, or wait for it if it runs; return how it ended. Raises SystemdError.

    `place` has its output, by the same path on the host and here.
    """
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    out, err = (place / f"{command.step}.{name}" for name in ("out", "err"))
    if wait(manager, command.unit, command.seconds).state != GONE:
        manager.forget(command.unit)
    seconds, stays = command.seconds, command.stays
    manager.start(command.unit, command.argv, out, err, seconds=seconds, stays=stays)
    found = wait(manager, command.unit, command.seconds)
    printed, said = (files.text(path, _LARGEST) or "" for path in (out, err))
    ended = _ended(command, found, printed, said)
    if command.stays:
        manager.forget(command.unit)
    return ended


def forget_old(manager: Manager, steps: Collection[str]) -> None:
    """Forget the commands of these steps that ended while nobody waited. Raises SystemdError."""
    for unit in _in_states(manager, steps, (DONE, FAILED)):
        manager.forget(unit)


def running(manager: Manager, steps: Collection[str]) -> list[str]:
    """Return the units of these steps that run, whoever began them. Raises SystemdError."""
    return _in_states(manager, steps, (systemd_dbus.RUNNING,))


def _in_states(manager: Manager, steps: Collection[str], states: Collection[str]) -> list[str]:
    found = manager.names(f"{_PREFIX}*")
    ours = [unit for unit in found if unit.removeprefix(_PREFIX).rpartition("-")[0] in steps]
    return [unit for unit in ours if manager.end(unit).state in states]


def _ended(command: Command, end: UnitEnd, printed: str, said: str) -> CommandEnd:
    if end.state == GONE:
        why = "is gone: it was ended by somebody, or by a restart of the host"
        said = said or f"{command.unit} {why if command.stays else 'said nothing'}"
    elif end.result == "timeout":
        said = f"{said}\n{command.unit} took longer than {command.seconds:g} s".strip()
    elif end.state != DONE and not printed and not said:
        means = _meaning(end.status, safe_text.name(command.argv[0]))
        why = f": {means}" if means else ", and said nothing"
        said = f"{command.unit} failed with the status {end.status}{why}"
    return CommandEnd(is_well=end.state == DONE, printed=printed, said=said)


def _meaning(status: int, program: str) -> str:
    """Return what an exit status says that systemd gave itself, "" if it did not."""
    if status == _EXEC:
        return f"{program} cannot be executed; see whether `findmnt -T {program}` says noexec"
    if status not in _SYSTEMDS:
        return ""
    how = "systemd could not prepare its execution (systemd.exec(5))"
    return f"{how}; look whether the file system of /opt is full, or memory used up"


def wait(manager: Manager, unit: str, seconds: float) -> UnitEnd:
    """Wait until a unit is over, and return what became of it; `seconds`: when systemd ends it.

    Raises SystemdError.
    """
    until = time.monotonic() + seconds + _BEYOND
    while (end := manager.end(unit)).state == systemd_dbus.RUNNING:
        if time.monotonic() > until:
            raise systemd_dbus.SystemdError(f"{unit} does not end")
        time.sleep(_PAUSE)
    return end
