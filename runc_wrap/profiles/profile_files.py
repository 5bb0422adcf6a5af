"""Profile files on disk: one file, the owner's directory, and where Podman looks for its own.

The package `policy` chooses between a file and a built-in profile.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from runc_wrap.profiles.formats import parse
from runc_wrap.profiles.json_fields import MAX_BYTES
from runc_wrap.profiles.model import Profile, ProfileError

# The first that exists applies (containers/common pkg/config): the administrator's, the package's
SYSTEM_FILES = ("/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json")
_MOST_FILES = 1000


def read(path: str | Path) -> Profile:
    """Return the profile in a file; the path becomes its name.

    Raises ProfileError, also if the file cannot be read or is not a regular file.
    """
    return parse(read_bytes(path), str(path))


def read_bytes(path: str | Path, most: int = MAX_BYTES) -> bytes:
    """Return a regular file's content; never wait for a FIFO's writer. Raises ProfileError."""
    try:
        data = _read_bounded(os.fspath(path), most)
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise ProfileError(f"{path}: larger than {most} bytes; is it the right file?")
    return data


def _read_bounded(path: str, most: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ProfileError(f"{path}: not a regular file; name a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most + 1)
    finally:
        os.close(descriptor)


def system() -> tuple[str, bytes] | None:
    """Return (path, bytes) of containers-common's seccomp.json, None if there is none."""
    path = next((path for path in SYSTEM_FILES if os.path.lexists(path)), None)
    return (path, read_bytes(path)) if path else None


def beneath(directory: Path) -> dict[str, bytes]:
    """Return {path relative to the directory: bytes}; hidden files are skipped.

    Raises ProfileError for a file that cannot be read, or that a symbolic link puts outside.
    """
    files = [path for path in sorted(directory.rglob("*")) if _is_meant(path, directory)]
    if len(files) > _MOST_FILES:
        raise ProfileError(
            f"{directory}: has {len(files)} files; at most {_MOST_FILES} are compiled"
        )
    return dict(_read_each(files, directory))


def _read_each(files: list[Path], directory: Path) -> Iterator[tuple[str, bytes]]:
    root = directory.resolve()
    for path in files:
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop, before Python 3.13
            raise ProfileError(f"{path}: a symbolic link that leads nowhere") from error
        if not real.is_relative_to(root):
            raise ProfileError(f"{path}: a symbolic link that leads out of {directory}")
        yield str(path.relative_to(directory)), read_bytes(path)


def _is_meant(path: Path, directory: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
    return not hidden and not path.is_dir()
