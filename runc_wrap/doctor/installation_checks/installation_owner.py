"""Whether any user except root can change or replace programs that run as root."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.doctor import remedies
from runc_wrap.doctor.remedies import Finding
from runc_wrap.host import ownership

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "ownership"
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def find(places: Places) -> Iterator[Finding]:
    """Find what others can change in the installation, or in the directories above it."""
    try:
        for path, how in ownership.installation(str(places.prefix)):
            yield _open_to_others(places, Path(path), how)
    except OSError as error:
        sentence = f"{error.filename}: {error.strerror}"
        remedy = f"run doctor as root; if it says the same, {remedies.install_again(places)}"
        yield Finding(NAME, "note", sentence, remedy)


def _open_to_others(places: Places, path: Path, how: str) -> Finding:
    by_mode = "access control list" not in how and _is_only_mode(path)
    return Finding(
        NAME,
        "error",
        f"{path} {how}, which lets others run programs as the engine",
        f"let only root own and write it (chown root, chmod go-w, setfacl -b {path}), or "
        "install in a directory that only root can write",
        remedies.line("chmod", "go-w", path) if by_mode else "",
        remedies.changed_mode(path, takes=_OTHERS) if by_mode and _is_ours(places, path) else None,
    )


def _is_only_mode(path: Path) -> bool:
    """Tell whether a path belongs to whom it should, and its mode lets others write."""
    found = path.lstat()
    is_owned = found.st_uid in (0, os.geteuid()) and not stat.S_ISLNK(found.st_mode)
    return is_owned and bool(found.st_mode & _OTHERS)


def _is_ours(places: Places, path: Path) -> bool:
    """Tell whether a path is in the installation; packages have its etc and var elsewhere."""
    parts = (places.prefix, places.etc, places.var)
    return any(path.is_relative_to(part.resolve()) for part in parts)
