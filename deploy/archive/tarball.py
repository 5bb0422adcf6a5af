"""A directory as one .tar.xz whose bytes depend on nothing but names, contents and one time."""

from __future__ import annotations

import lzma
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PRESET = 9 | lzma.PRESET_EXTREME


def write(top: Path, target: Path, epoch: int) -> None:
    """Pack `top`, under its own name, owned by root; `epoch` is the time of all files."""

    def settled(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = epoch
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    new = target.with_name(f"{target.name}.new")
    with (
        lzma.open(new, "wb", preset=_PRESET) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        archive.add(top, top.name, filter=settled)  # in the order of names
    new.rename(target)
