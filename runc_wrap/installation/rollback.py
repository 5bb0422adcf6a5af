"""An installation as one change set, and taking back one that failed or was killed.

PREFIX/lib/installing.json is there while one is not over; the next install.sh undoes it. Until then
the new release is in force, or still the one before: both start containers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.failure import Failure
from runc_wrap.host import change_set, systemd

if TYPE_CHECKING:
    from pathlib import Path


class Damaged(Failure):
    """The record cannot be read; the message says why."""


def place(prefix: Path) -> Path:
    """Return the path of the change set's record; its note is {new, ran}: names of units."""
    return prefix / "lib" / "installing.json"


def take_back(prefix: Path) -> list[str]:
    """Put back what it changed, and run the services that ran; return what somebody else changed.

    The caller holds the lock of installations. Raises OSError and Damaged.
    """
    try:
        found = change_set.read(place(prefix))
    except ValueError as error:
        raise Damaged(f"{error}; remove it, and install again") from None
    note: dict[str, list[str]] = found.note if found else {}
    if new := note.get("new"):
        systemd.failure("disable", "--now", *new)
    left = change_set.undo(place(prefix))
    if note:
        systemd.failure("daemon-reload")
    if ran := note.get("ran"):
        systemd.failure("restart", *ran)
    return left


def keep(prefix: Path) -> None:
    """Let it stay as it is: an uninstall takes away all that it has made. Raises OSError."""
    if place(prefix).exists():
        change_set.close(place(prefix))
    else:
        change_set.undo(place(prefix))  # names that a kill before any change has left
