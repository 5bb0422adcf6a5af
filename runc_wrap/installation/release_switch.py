"""The release in force: what has to change for another one, and which releases stay on the disk.

At every moment a create finds either the complete old release or the complete new one. The release
before is kept for running creates. The launcher comes after its release: cold.py understands the
launcher of the release before.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from runc_wrap.host import change_set, files, program
from runc_wrap.host.change_set import PathChange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SYNCING = 600.0  # seconds: whatever else the disk has to write comes first
_LARGEST = 4 << 20  # bytes of a launcher


def in_force(prefix: Path) -> str | None:
    """Return the name of the release in force, None if there is none."""
    current = _current(prefix)
    return current.readlink().name if current.is_symlink() else None


def is_there(prefix: Path) -> bool:
    """Tell whether a directory has an installation, also a package's."""
    return in_force(prefix) is not None


def missing(prefix: Path) -> str:
    """Return what to do about a directory without one."""
    return f"{prefix} has no installation: give the one that has by --prefix"


def _current(prefix: Path) -> Path:
    return prefix / "lib" / "current"


def changes(prefix: Path, release: Path) -> Iterator[PathChange]:
    """Yield, in order, what puts a release in force. Raises OSError and ValueError.

    It is on the disk already: a power cut after the switch leaves no empty files.
    """
    program.do("sync", "-f", str(release), seconds=_SYNCING)
    for path, after in (
        (_current(prefix), f"releases/{release.name}"),
        (prefix / "bin" / "runc-wrap", files.read(release / "runc-wrap", _LARGEST)),
        (prefix / "bin" / "runc-wrapctl", "../lib/current/venv/bin/runc-wrapctl"),
        (prefix / "hooks", "lib/current/hooks"),
    ):
        yield PathChange(path, change_set.content(path), after, 0o755, is_ours=True)


def remove_others(release: Path, before: str | None) -> None:
    """Remove the releases that are neither this one nor the one before."""
    for old in release.parent.glob("[0-9]*.??????"):
        if old.name not in (release.name, before):
            shutil.rmtree(old, ignore_errors=True)
