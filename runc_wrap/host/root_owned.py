"""Whether a directory is root's alone, from the top of the tree down.

Then what lies there is root's word. A user's own report trusts that user as well.
"""

from __future__ import annotations

import os
import stat

_OTHERS, _GROUP = 0o002, 0o020


def is_alone(path: str) -> bool:
    """Tell whether nobody else can put, replace or rename anything on the way to a directory."""
    return is_beneath("/", os.path.realpath(path))


def is_beneath(base: str, path: str) -> bool:
    """Tell the same of the directories of a path beneath a base that is root's; no link counts.

    It stops at the first that is somebody else's: what lies beneath that may be anything.
    """
    place = base.rstrip("/")
    for name in [None, *filter(None, path.split("/"))]:
        place = place if name is None else f"{place}/{name}"
        if not _is_trusted(place or "/"):
            return False
    return True


def _is_trusted(directory: str) -> bool:
    try:
        found = os.lstat(directory)
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, os.geteuid()):
        return False
    if found.st_mode & stat.S_ISVTX:  # what lies in /tmp only its owner renames
        return True
    by_group = found.st_mode & _GROUP and found.st_gid not in (0, os.getegid())
    return not (found.st_mode & _OTHERS or by_group)
