"""Whether any user except root can change or replace programs that run as root."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.host import ownership
from runc_wrap.node.doctor import commands
from runc_wrap.node.doctor.check_finding import Finding, NotMended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        command = commands.ctl(places, "doctor")
        yield Finding(NAME, "note", sentence, "run doctor as root", command)


def _open_to_others(places: Places, path: Path, how: str) -> Finding:
    by_mode = "access control list" not in how and _is_ours(places, path)
    words: tuple[str, ...] = ("chown", "-h", "root:root")
    if by_mode:
        words = ("chmod", "go-w")
    elif "access control list" in how:
        words = ("setfacl", "-b")
    return Finding(
        NAME,
        "error",
        f"{path} {how}, which lets others run programs as the engine",
        f"let only root own and write it (chown root, chmod go-w, setfacl -b {path}), or "
        "install beneath a directory of which that is true",
        commands.line(*words, path),
        _close(path) if by_mode else None,
    )


def _is_ours(places: Places, path: Path) -> bool:
    """Tell whether a path is in the installation, and only its mode is wrong."""
    found = path.lstat()
    is_owned = path.is_relative_to(places.prefix) and found.st_uid in (0, os.geteuid())
    return is_owned and not stat.S_ISLNK(found.st_mode) and bool(found.st_mode & _OTHERS)


def _close(path: Path) -> Callable[[], None]:
    def act() -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags)
        try:
            found = os.fstat(descriptor)
            if found.st_uid not in (0, os.geteuid()):  # replaced meanwhile, by those who could
                raise NotMended(f"it belongs to uid {found.st_uid} now")
            os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~_OTHERS)
        finally:
            os.close(descriptor)

    return act
