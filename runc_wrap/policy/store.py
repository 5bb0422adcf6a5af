"""Putting a compiled policy in force: a directory of its own, and one link that is switched.

var/compiled/N/policy.json  sources.json  profiles/*.json  runc|crun -> the real runtime
var/current -> compiled/N
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from runc_wrap.hotpath import codec
from runc_wrap.hotpath.policy import file_name
from runc_wrap.policy.disk import locked, sync
from runc_wrap.policy.freshness import SOURCES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runc_wrap.policy.compiling import Compiled

_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644  # whatever the umask: rootless engines read it too


def put_in_force(compiled: Compiled, var: Path, sources: Mapping[str, str] | None = None) -> None:
    """Write the compiled policy and switch to it at once; on any error the old one stays.

    `sources` is what `freshness.snapshot` saw before they were read.
    """
    directory = var / "compiled"
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory):
        _replace(compiled, var / "current", directory, dict(sources or {}))


def _replace(compiled: Compiled, link: Path, directory: Path, sources: dict[str, str]) -> None:
    before = link.readlink().name if link.is_symlink() else ""
    target = directory / str(_highest(directory) + 1)
    try:
        _write(compiled, target, sources)
        _switch(link, f"{directory.name}/{target.name}")
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    sync(link.parent)
    _clear(directory, {before, target.name})


def _highest(directory: Path) -> int:
    return max((int(old.name) for old in directory.iterdir() if old.name.isdecimal()), default=0)


def _clear(directory: Path, kept: set[str]) -> None:
    """Remove all but what is in force and what creates under way may still be reading."""
    for old in directory.iterdir():
        if old.name not in kept:
            shutil.rmtree(old, ignore_errors=True)


def _write(compiled: Compiled, target: Path, sources: dict[str, str]) -> None:
    runtime = compiled.policy["runtime"]
    profiles = target / "profiles"
    for made in (target, profiles):
        made.mkdir()
        made.chmod(_DIRECTORY_MODE)
    (target / runtime["kind"]).symlink_to(runtime["path"])
    _write_synced(target / "policy.json", codec.dumps(compiled.policy))
    _write_synced(target / SOURCES, codec.dumps(sources))
    for (name, mode), profile in compiled.profiles.items():
        _write_synced(profiles / file_name(name, mode), codec.dumps(profile))
    for written in (profiles, target, target.parent):
        sync(written)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), _FILE_MODE)
        os.fsync(file.fileno())


def _switch(link: Path, target: str) -> None:
    new = link.with_name(f"{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
