"""Whether only root can write a directory and all directories above it.

Then its contents are from root. In a user's own report, that user is trusted as well.
"""

import os
import stat

_OTHERS, _GROUP = 0o002, 0o020


def is_alone(path: str) -> bool:
    """Tell whether no other user can add, replace or rename anything on the path of a directory."""
    return is_alone_below("/", os.path.realpath(path))


def is_alone_below(base: str, path: str) -> bool:
    """Tell the same of the directories of a path below `base`; a link in it is untrusted.

    It stops at the first that another user can write: everything below it is untrusted.
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
    if found.st_mode & stat.S_ISVTX:  # in /tmp, only the owner of an entry can rename it
        return True
    by_group = found.st_mode & _GROUP and found.st_gid not in (0, os.getegid())
    return not (found.st_mode & _OTHERS or by_group)
