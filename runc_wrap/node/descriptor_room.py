"""How many descriptors systemd keeps for this process when that ends (FileDescriptorStoreMax=).

From version 254 on systemd says so in $FDSTORE; before that, `systemctl show` knows.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.host import systemd

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "FDSTORE"
_ROOM = "FileDescriptorStoreMax"
_UNIT = re.compile(r"[\w:.@\\-]{1,255}\.service")
_LARGEST = 64 * 1024  # characters of /proc/self/cgroup


def room(environment: Mapping[str, str], cgroup: Path = Path("/proc/self/cgroup")) -> int:
    """Return how many; 0 if no supervisor keeps any. `cgroup` says which unit this process is."""
    said = environment.get(VARIABLE, "")
    if said or "NOTIFY_SOCKET" not in environment:
        return _number(said)
    unit = _unit(cgroup)
    return _number(systemd.show([unit], _ROOM).get(unit, {}).get(_ROOM, "")) if unit else 0


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,9}\n?", text) else 0


def _unit(cgroup: Path) -> str:
    """Return the service in whose cgroup this process is, "" for none (systemd.unit(5))."""
    try:
        with cgroup.open(errors="replace") as file:
            lines = file.read(_LARGEST).splitlines()
    except OSError:
        return ""
    of_systemd = (path for _, names, path in map(_fields, lines) if names in ("", "name=systemd"))
    ends = (path.rpartition("/")[2] for path in of_systemd)
    return next((name for name in ends if _UNIT.fullmatch(name)), "")


def _fields(line: str) -> tuple[str, str, str]:
    number, _, rest = line.partition(":")
    names, _, path = rest.partition(":")
    return number, names, path
