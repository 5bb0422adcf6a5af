"""Whether decisions and evidence can be written down, and whether others can read them.

A create goes on without its ledger line if that cannot be written: nothing else tells.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from runc_wrap.doctor import remedies
from runc_wrap.doctor.remedies import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.node.paths import Places

NAME = "records"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LITTLE = 1024 * 1024  # bytes: some thousand decisions


def find(places: Places) -> Iterator[Finding]:
    """Find directories that cannot be written, and those that others can read."""
    private = [places.ledger, places.evidence, places.agent, places.var / "lock"]
    for path in (places.var, *private):
        try:
            finding = _unwritable(path)
        except OSError:  # it does not exist yet, or the caller may not look
            continue
        if finding:
            yield finding
            return
    for path in private:
        yield from _readable(path)


def _unwritable(path: Path) -> Finding | None:
    """Return why nothing can be written in a directory, None if it can. Raises OSError."""
    system = os.statvfs(path)
    free = system.f_bavail * system.f_frsize
    if system.f_flag & os.ST_RDONLY:
        sentence = (
            f"{path} is mounted read-only: no decision is recorded, and no policy can be applied"
        )
        command = remedies.line("mount", "-o", "remount,rw", _mount_of(path))
        return Finding(NAME, "error", sentence, "mount it writable", command)
    if free < _LITTLE or (system.f_files and not system.f_favail):
        sentence = f"the file system of {path} is full: no decision is recorded"
        command = f"{remedies.line('du', '-xh', _mount_of(path))} | sort -h | tail"
        return Finding(NAME, "error", sentence, "delete what the command shows", command)
    if os.geteuid() == 0 and not os.access(path, os.W_OK):
        sentence = f"root cannot write in {path}: no decision is recorded"
        command = remedies.line("chattr", "-i", path)
        return Finding(NAME, "error", sentence, "let root write there", command)
    return None


def _mount_of(path: Path) -> Path:
    path = path.resolve()
    return next(each for each in (path, *path.parents) if each.is_mount())


def _readable(path: Path) -> Iterator[Finding]:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode) and mode & _OTHERS:
        yield Finding(
            NAME,
            "warning",
            f"{path}, which tells what ran here, can be opened by others "
            f"(mode {stat.S_IMODE(mode):04o})",
            "let only root open it",
            remedies.line("chmod", "700", path),
            remedies.changed_mode(path, takes=_OTHERS),
        )
