"""Putting a release in force, and the one before in force again.

At every moment a create finds either the complete old release or the complete new one. The release
before is kept for running creates. The launcher comes after its release: cold.py understands the
launcher of the release before.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from runc_wrap.host import files, program

if TYPE_CHECKING:
    from pathlib import Path

_LINKS = {"bin/runc-wrapctl": "../lib/current/venv/bin/runc-wrapctl", "hooks": "lib/current/hooks"}
_SYNCING = 600.0  # seconds: whatever else the disk has to write comes first


class Switch:
    """From the release in force, if there is one, to another."""

    def __init__(self, prefix: Path, release: Path) -> None:
        self._prefix, self._release = prefix, release
        self._current = prefix / "lib" / "current"
        self._launcher = prefix / "bin" / "runc-wrap"
        self._former = prefix / "bin" / ".runc-wrap.former"
        self._new = prefix / "bin" / "runc-wrap.new"
        self.before = str(self._current.readlink()) if self._current.is_symlink() else ""

    def forward(self) -> None:
        """Put the new one in force."""
        self._keep_former()
        shutil.copy(self._release / "runc-wrap", self._new)
        # a power failure after the switch must not leave empty files
        program.do("sync", "-f", str(self._release), seconds=_SYNCING)
        files.replace_link(self._current, f"releases/{self._release.name}")
        self._new.replace(self._launcher)
        for name, target in _LINKS.items():
            files.replace_link(self._prefix / name, target)
        files.sync(self._launcher.parent)

    def _keep_former(self) -> None:
        self._former.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.link(self._launcher, self._former, follow_symlinks=False)

    def back(self) -> None:
        """Put the one before in force again; without one, nothing is in force."""
        self._new.unlink(missing_ok=True)
        if not self._is_ours():
            self._former.unlink(missing_ok=True)
            return
        if os.path.lexists(self._former):
            self._former.rename(self._launcher)
        else:
            self._launcher.unlink(missing_ok=True)
        if self.before:
            files.replace_link(self._current, self.before)
            return
        for name in (*_LINKS, "lib/current"):
            (self._prefix / name).unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        current = self._current
        return current.is_symlink() and current.readlink().name == self._release.name

    def end(self) -> None:
        """Remove what was kept for going back, and the releases before the one before."""
        self._former.unlink(missing_ok=True)
        kept = {self._release.name, self.before.rpartition("/")[2]}
        for old in self._release.parent.glob("[0-9]*.??????"):
            if old.name not in kept:
                shutil.rmtree(old, ignore_errors=True)
