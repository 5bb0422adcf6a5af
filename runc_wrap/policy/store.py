"""Putting a compiled policy in force: a directory of its own, and one link that is switched.

var/compiled/N/policy.json  profiles/*.json  runc|crun -> the real runtime
var/current -> compiled/N
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runc_wrap.hotpath import codec
from runc_wrap.hotpath.policy import file_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.policy.compiling import Compiled

_KEPT = 2  # the one in force, and the one that creates under way may still be reading


def put_in_force(compiled: Compiled, var: Path) -> None:
    """Write the compiled policy and switch to it at once; on any error the old one stays."""
    directory = var / "compiled"
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        _replace(compiled, var, directory)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Let one `apply` after the other write."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(compiled: Compiled, var: Path, directory: Path) -> None:
    number = (
        max((int(old.name) for old in directory.iterdir() if old.name.isdigit()), default=0) + 1
    )
    _write(compiled, directory / str(number))
    _switch(var / "current", f"compiled/{number}")
    for old in directory.iterdir():
        if not old.name.isdigit() or int(old.name) <= number - _KEPT:
            shutil.rmtree(old)


def _write(compiled: Compiled, target: Path) -> None:
    runtime = compiled.policy["runtime"]
    target.mkdir(mode=0o755)
    (target / "profiles").mkdir()
    (target / runtime["kind"]).symlink_to(runtime["path"])
    _write_synced(target / "policy.json", codec.dumps(compiled.policy))
    for name, profile in compiled.profiles.items():
        _write_synced(target / "profiles" / file_name(name), codec.dumps(profile))


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _switch(link: Path, target: str) -> None:
    new = link.with_name(f"{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
