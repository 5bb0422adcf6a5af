"""systemd: what it says of units, what it is asked to do with them, and their files.

Only the cluster's pod speaks to it in another way, by D-Bus (cluster/host_commands).
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from runc_wrap.failure import Failure
from runc_wrap.host import files, procfs, program

UNITS = Path("/etc/systemd/system")
VENDOR = Path("/usr/lib/systemd/system")
FAILED, STOPPED, ACTIVE = "failed", "inactive", "active"  # of `state`
BOOTED = Path("/run/systemd/system")  # sd_booted(3)
_PLAIN = re.compile(r"[A-Za-z0-9/._+@:-]+")  # what a unit takes without quotes and specifiers
_VERSION = re.compile(r"systemd (\d+)")
_ANSWERS, _WORKS = 20.0, 240.0  # seconds; a unit may take 180 to start, an engine's 90 to stop
_LARGEST = 1 << 20  # bytes of a unit's file
_WRITER = "runc-wrap"
KEPT, _ROOM = "FDSTORE", "FileDescriptorStoreMax"
_UNIT = re.compile(r"[\w:.@\\-]{1,255}\.service")

Shown = dict[str, str]  # property -> value, as systemctl prints it


class UnitFailed(Failure):
    """systemctl failed, or a unit is not active; the message says what to do."""


def is_booted() -> bool:
    """Tell whether systemd runs this machine."""
    return BOOTED.is_dir()


def version() -> int | None:
    """Return systemd's version, None if there is none."""
    found = _VERSION.match(program.output("systemctl", "--version") or "")
    return int(found[1]) if found else None


def show(units: Sequence[str], *properties: str) -> dict[str, Shown]:
    """Return {unit: its properties}; units that systemd does not know have some, too."""
    asked = f"--property={','.join(properties)}"
    printed = program.run("systemctl", "show", asked, "--", *units, seconds=_ANSWERS).printed
    blocks = printed.split("\n\n") if printed else []
    return dict(zip(units, map(_parsed, blocks), strict=False))


def _parsed(block: str) -> Shown:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def state(unit: str) -> str:
    """Return what `is-active` says."""
    ended = program.run("systemctl", "is-active", unit, seconds=_ANSWERS)
    return ended.printed.strip() or "unknown"


def is_masked(unit: str) -> bool:
    """Tell whether systemd would refuse to start it."""
    ended = program.run("systemctl", "is-enabled", unit, seconds=_ANSWERS)
    return ended.printed.startswith("masked")


def failure(*words: str) -> str:
    """Run systemctl to its end; return "", or how that failed."""
    ended = program.run("systemctl", *words, seconds=_WORKS)
    return "" if ended.is_well else f"`systemctl {' '.join(words)}` failed: {ended.said}"


def do(*words: str) -> None:
    """Run systemctl, which must succeed. Raises UnitFailed."""
    if why := failure(*words):
        raise UnitFailed(why)


def run_later(name: str, seconds: float, command: Sequence[str]) -> str:
    """Have a timer of that name run a command once; return "", or why there will be none."""
    words = ["--quiet", "--collect", f"--unit={name}", f"--on-active={seconds:g}s",
             "--timer-property=AccuracySec=1s", "--", *command]  # fmt: skip
    ended = program.run("systemd-run", *words, seconds=_ANSWERS)
    return "" if ended.is_well else ended.said


def is_plain(path: Path) -> bool:
    """Tell whether a unit's file can name this path."""
    return _PLAIN.fullmatch(str(path)) is not None


def text(unit: Path) -> str | None:
    """Return the text of a unit's file, None if there is none that can be read."""
    return files.text(unit, _LARGEST, follows=True)


def write(unit: Path, content: str) -> None:
    """Write a unit's file; systemd reads it at a `daemon-reload` or boot. Raises OSError."""
    files.replace(unit, content.encode(), 0o644, writer=_WRITER)


def unlink(unit: Path) -> None:
    """Remove a unit's file, and what a killed writer left of it. Raises OSError."""
    for path in (unit, unit.with_name(f".{unit.name}.{_WRITER}.new"),
                 unit.with_name(f".{unit.name}.link.new")):  # fmt: skip
        path.unlink(missing_ok=True)


def kept_descriptors(environment: Mapping[str, str]) -> int:
    """Return how many descriptors systemd keeps for this process when that ends.

    Before version 254 it does not say so in $FDSTORE, and is asked about the unit of this process
    (systemd.unit(5)). 0 if no supervisor keeps any.
    """
    said = environment.get(KEPT, "")
    if said or "NOTIFY_SOCKET" not in environment:
        return _count(said)
    groups = procfs.cgroups(os.getpid()) or []
    ends = (path.rpartition("/")[2] for _, names, path in groups if names in ("", "name=systemd"))
    unit = next((name for name in ends if _UNIT.fullmatch(name)), "")
    return _count(show([unit], _ROOM).get(unit, {}).get(_ROOM, "")) if unit else 0


def _count(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,9}\n?", text) else 0
