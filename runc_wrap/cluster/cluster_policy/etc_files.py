"""A policy's files in a node's etc: copied to be checked, written in an order that a kill may cut.

Without a mode the default is there, which enforces.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.host import files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONFIG, PROFILES = "config.toml", "profiles"
MODE = "conf.d/0-mode.toml"  # the overlay's: read after config.toml, before the node's own conf.d
FILE_MODE = 0o644
_DIRECTORY_MODE = 0o755
_DIRECTORIES = (PROFILES, MODE.partition("/")[0])  # in which is written


def copy(etc: Path, trial: Path) -> None:
    """Copy a node's etc, each link as a link, but for the directories that will be written to.

    A copy that linked to one of them would have the check change what is in force. A link leads
    where it led, or to the copy of that.
    """
    if etc.is_dir():  # install.sh makes it
        _copy(etc, trial, etc, shutil.ignore_patterns(".*", *_DIRECTORIES))
    for name in _DIRECTORIES:
        if (etc / name).is_dir():
            whole = etc / name if (etc / name).is_symlink() else etc
            _copy(etc / name, trial / name, whole, shutil.ignore_patterns(".*"))
        (trial / name).mkdir(parents=True, exist_ok=True)


def _copy(source: Path, to: Path, whole: Path, ignored: Callable[..., set[str]]) -> None:
    """Copy a directory; of relative links in it, those that lead out of `whole` become absolute."""
    shutil.copytree(source, to, symlinks=True, ignore=ignored)
    for link in to.rglob("*"):
        if link.is_symlink():
            goes = (source / link.relative_to(to)).parent.resolve() / link.readlink()
            if not Path(os.path.normpath(goes)).is_relative_to(whole.resolve()):
                link.unlink()
                link.symlink_to(goes)


def mode(data: bytes | None) -> object:
    """Return what a file sets default.mode to, None if it does not: what is wrong says `apply`."""
    try:
        found = tomllib.loads((data or b"").decode()).get("default")
    except (ValueError, RecursionError):
        return None
    return found.get("mode") if isinstance(found, dict) else None


def write(etc: Path, wanted: Mapping[str, bytes], others: Mapping[str, bytes | None]) -> None:
    """Write files, and remove those of `others` that are not wanted. Raises OSError.

    Both are {name beneath etc: content}; None is a file that is not there.
    """
    for name in _DIRECTORIES:
        (etc / name).mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    for name in sorted({**others, **wanted}, key=lambda name: _rank(name, wanted, others)):
        if name in wanted:
            files.replace(etc / name, wanted[name], FILE_MODE)
        else:
            (etc / name).unlink(missing_ok=True)


def _rank(name: str, wanted: Mapping[str, bytes], others: Mapping[str, bytes | None]) -> int:
    """Return when a file is written or removed, as a kill may come after each.

    What is there must not enforce where neither the policy before nor the new one does: without a
    mode it would. A mode that enforces comes after its config.toml and goes before the next one.
    """
    is_wanted = name in wanted
    if name == CONFIG:
        return 2
    if name == MODE:
        enforces = mode(wanted[name] if is_wanted else others[name]) in (None, "enforce")
        return 3 if enforces == is_wanted else 1
    return 0 if is_wanted else 4
