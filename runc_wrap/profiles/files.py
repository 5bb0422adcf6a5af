"""Profile files on the disk, and where Podman and Buildah look for theirs.

Choosing between a file and a built-in profile is policy's, not done here.
"""

import os
import stat
from pathlib import Path

from runc_wrap.profiles.fields import MAX_BYTES
from runc_wrap.profiles.formats import parse
from runc_wrap.profiles.model import Profile, ProfileError

# The first that exists wins (containers/common pkg/config).
SYSTEM_FILES = ("/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json")


def read(path: str | Path) -> Profile:
    """Return the profile in a file, named by its path.

    Raises ProfileError, also for what cannot be read or is no regular file.
    """
    try:
        data = _read_bounded(os.fspath(path))
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    return parse(data, str(path))


def _read_bounded(path: str) -> bytes:
    """Read one byte more than is allowed at most; never wait for a FIFO's writer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ProfileError(f"{path}: not a regular file; name one")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)
