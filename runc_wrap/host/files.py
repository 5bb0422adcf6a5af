"""Files on disk: bounded reads of possibly hostile files, and atomic replacement.

A reader gets the old file or the new one, even if the writer is killed; with `is_synced` also after
a power cut. Imports built-in modules only, since each of the agent's processes imports this.
"""

from __future__ import annotations

import posix

from runc_wrap.hotpath import config_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    Path = str | os.PathLike[str]

_CHUNK = 64 * 1024
_READ = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC
_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC


class Irregular(ValueError):
    """The opened file is not a regular file."""


class TooLarge(ValueError):
    """The file is larger than the bound."""


def opened(path: Path, *, follows: bool = False, within: int | None = None) -> int:
    """Open a regular file for reading, without blocking. Raises OSError and Irregular.

    A symbolic link as the last component is followed only with `follows`. `within` is a directory.
    """
    flags = _READ if follows else _READ | posix.O_NOFOLLOW
    descriptor = posix.open(path, flags, dir_fd=within)
    if posix.fstat(descriptor).st_mode & config_file.KIND == config_file.REGULAR:
        return descriptor
    posix.close(descriptor)
    raise Irregular(f"{posix.fspath(path)} is not a regular file")


def read(path: Path, most: int, *, follows: bool = False) -> bytes:
    """Return a regular file's content. Raises OSError, Irregular and TooLarge."""
    descriptor = opened(path, follows=follows)
    try:
        return contents(descriptor, most, posix.fspath(path))
    finally:
        posix.close(descriptor)


def text(path: Path, most: int, *, follows: bool = False) -> str | None:
    """Return the text of a file, None if there is none that can be read."""
    try:
        return read(path, most, follows=follows).decode(errors="replace")
    except (OSError, ValueError):
        return None


def contents(descriptor: int, most: int, name: str) -> bytes:
    """Return the rest of an open file, at most `most` bytes. Raises OSError and TooLarge."""
    parts, size = [], 0
    while part := posix.read(descriptor, _CHUNK):
        parts.append(part)
        size += len(part)
        if size > most:
            raise TooLarge(f"{name} is larger than {most} bytes, the most that is read")
    return b"".join(parts)


def replace(  # noqa: PLR0913 - callers differ in each
    path: Path,
    data: bytes,
    mode: int = 0o600,
    *,
    is_synced: bool = True,
    keeps: bool = False,
    writer: str = "",
) -> None:
    """Replace a file by `data`, with `mode` regardless of the umask.

    `keeps`: an existing file keeps its mode, owner and extended attributes instead. `writer` names
    the only writer of this file, so that writers that were killed leave at most one temporary file;
    by default it is the process' id, and any process may write. Raises OSError, which names the
    file.
    """
    target = posix.fspath(path)
    like = target if keeps else ""

    def write(new: str) -> None:
        write_new(new, data, mode, like=like, is_synced=is_synced)

    _put(target, writer or str(posix.getpid()), write)
    if is_synced:
        sync(config_file.directory(target))


def replace_link(path: Path, to: str) -> None:
    """Make a symbolic link, or replace one; `sync` its directory afterwards. Raises OSError."""
    _put(posix.fspath(path), "link", lambda new: posix.symlink(to, new))


def _put(target: str, writer: str, make: Callable[[str], None]) -> None:
    """Make something beside, and rename it. Raises OSError, which names the target."""
    # hidden: programs that read all files with a suffix do not match it
    new = f"{config_file.directory(target)}/.{target.rpartition('/')[2]}.{writer}.new"
    try:
        config_file.remove(new)
        make(new)
        posix.rename(new, target)
    except BaseException as error:
        config_file.remove(new)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, target) from error
        raise


def write_new(
    path: Path, data: bytes, mode: int, *, like: str = "", is_synced: bool = True
) -> None:
    """Write a file that does not exist yet, and sync it; `sync` its directory afterwards.

    It gets the mode, owner and attributes of the file `like` if there is one. Raises OSError, which
    names the file.
    """
    target = posix.fspath(path)
    try:
        descriptor = posix.open(target, _NEW, 0o600)
        try:
            if not (like and _is_like(like, descriptor)):
                posix.fchmod(descriptor, mode)
            config_file.write_whole(descriptor, data)
            if is_synced:
                posix.fsync(descriptor)
        finally:
            posix.close(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, target) from error


def sync(directory: Path) -> None:
    """Sync a directory, so that the names in it survive a power cut."""
    descriptor = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        posix.fsync(descriptor)
    finally:
        posix.close(descriptor)


def _is_like(path: str, descriptor: int) -> bool:
    """Give a new file the mode, owner and attributes of another; tell whether that exists."""
    try:
        old = posix.stat(path)
    except FileNotFoundError:
        return False
    posix.fchown(descriptor, old.st_uid, old.st_gid)
    posix.fchmod(descriptor, old.st_mode & config_file.MODE)
    try:
        for name in posix.listxattr(path):
            posix.setxattr(descriptor, name, posix.getxattr(path, name))
    except OSError:  # a file system without attributes, or attributes that cannot be set
        pass
    return True
