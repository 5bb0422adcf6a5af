"""Whether the launcher, which engines call, exists and can be executed."""

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

NAME = "launcher"
_MODE, _EXECUTABLE = 0o755, 0o111


def find(places: Places) -> Iterator[Finding]:
    """Find a launcher that cannot be executed."""
    path = places.wrapper
    if not path.is_file():
        sentence = f"{path}, which engines call, does not exist"
        yield Finding(NAME, "error", sentence, remedies.install_again(places))
        return
    if path.is_symlink():  # by `uninstall` or a package's removal, while engines still call it
        sentence = (
            f"{path}, which engines call, leads to {path.readlink()}: containers are not confined"
        )
        yield Finding(NAME, "error", sentence, remedies.install_again(places))
        return
    if not os.access(path, os.X_OK):
        yield _not_executable(path)


def _not_executable(path: Path) -> Finding:
    sentence = f"{path}, which engines call, cannot be executed (mode {_mode(path):04o})"
    remedy = "make it executable, or mount it without noexec"
    command = remedies.line("chmod", f"{_MODE:04o}", path)
    is_fixable = _mode(path) & _EXECUTABLE != _EXECUTABLE
    fix = remedies.changed_mode(path, gives=_MODE) if is_fixable else None
    return Finding(NAME, "error", sentence, remedy, command, fix)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
