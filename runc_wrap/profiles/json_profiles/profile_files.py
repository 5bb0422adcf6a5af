"""Profile files on disk: one file, the owner's directory, and where Podman looks for its own.

The package `policy` chooses between a file and a built-in profile.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from runc_wrap.host import files
from runc_wrap.profiles.json_profiles.strict_json import MAX_BYTES
from runc_wrap.profiles.source_profile import ProfileError

# The first that exists applies (containers/common pkg/config): the administrator's, the package's
SYSTEM_FILES = ("/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json")
_MOST_FILES = 1000


def read_bytes(path: str | Path, most: int = MAX_BYTES) -> bytes:
    """Return a regular file's content; never wait for a FIFO's writer. Raises ProfileError."""
    try:
        return files.read(path, most, follows=True)
    except files.Irregular:
        raise ProfileError(f"{path}: not a regular file; name a regular file") from None
    except files.TooLarge:
        raise ProfileError(f"{path}: larger than {most} bytes; is it the right file?") from None
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read: {error.strerror}") from error


def system() -> tuple[str, bytes] | None:
    """Return (path, bytes) of containers-common's seccomp.json, None if there is none."""
    path = next((path for path in SYSTEM_FILES if os.path.lexists(path)), None)
    return (path, read_bytes(path)) if path else None


def below(directory: Path) -> dict[str, bytes]:
    """Return {path relative to the directory: bytes}; hidden files are skipped.

    Raises ProfileError for a file that cannot be read, or that a symbolic link puts outside.
    """
    paths = found(directory)
    if len(paths) > _MOST_FILES:
        raise ProfileError(f"{directory}: has {len(paths)} files, {_MOST_FILES} at most")
    return dict(_read_each(paths, directory))


def _read_each(paths: list[Path], directory: Path) -> Iterator[tuple[str, bytes]]:
    root = directory.resolve()
    for path in paths:
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop, before Python 3.13
            raise ProfileError(f"{path}: a symbolic link that leads nowhere") from error
        if not real.is_relative_to(root):
            raise ProfileError(f"{path}: a symbolic link that leads out of {directory}")
        yield str(path.relative_to(directory)), read_bytes(path)


def found(directory: Path) -> list[Path]:
    """Return the files in a directory and below it; hidden ones are skipped."""
    return [path for path in sorted(directory.rglob("*")) if _is_meant(path, directory)]


def _is_meant(path: Path, directory: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
    return not hidden and not path.is_dir()
