"""config.json on disk: read in full with a bound, replaced atomically."""

import posix

from runc_wrap.hotpath.errors import Refusal, because, quoted

LARGEST = 16 * 1024 * 1024  # bytes; real configs have 3 KB to 300 KB
_CHUNK = 1024 * 1024
_SMALL_CHUNK = 16 * 1024  # files in /proc have no size
KIND, REGULAR, MODE = 0o170000, 0o100000, 0o7777  # inode(7); importing stat costs 40 µs
_MOST_LINKS = 40  # as many as the kernel follows (linux:include/linux/namei.h MAXSYMLINKS)


class Found:
    """A config file as read: `path` as the runtime opens it, `real` without symbolic links."""

    def __init__(self, path: str, real: str, text: bytes, stat: posix.stat_result) -> None:
        self.path = path
        self.real = real
        self.text = text
        self.stat = stat


def read(path: str, largest: int = LARGEST) -> Found:
    """Read the file that the runtime would read, at most so many bytes. Raises Refusal."""
    if "\0" in path:
        raise Refusal(f"{quoted(path)} is not a path: it has a NUL character.")
    try:
        real = _behind_links(path)
        descriptor = posix.open(real, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY)
    except OSError as error:
        raise Refusal(f"{quoted(path)} cannot be read: {because(error)}.") from None
    try:
        stat = posix.fstat(descriptor)
        return Found(path, real, _read_regular(descriptor, stat, path, largest), stat)
    except OSError as error:
        raise Refusal(f"{quoted(path)} cannot be read: {because(error)}.") from None
    finally:
        posix.close(descriptor)


def _behind_links(path: str) -> str:
    """Follow links in the last component: the file gets replaced, not the link."""
    for _ in range(_MOST_LINKS):
        try:
            target = posix.readlink(path)
        except OSError:  # not a link; if nothing exists there, open reports it
            return path
        path = target if target.startswith("/") else f"{directory(path)}/{target}"
    return path


def _read_regular(descriptor: int, stat: posix.stat_result, path: str, largest: int) -> bytes:
    if stat.st_mode & KIND != REGULAR:
        raise Refusal(f"{quoted(path)} is not a regular file; a runtime's config must be one.")
    parts: list[bytes] = []
    size = 0
    chunk = min(max(stat.st_size + 1, _SMALL_CHUNK), _CHUNK)  # a buffer is mapped if it is large
    while part := posix.read(descriptor, chunk):
        parts.append(part)
        size += len(part)
        if size > largest:
            raise Refusal(f"{quoted(path)} is larger than {largest} bytes, the most that is read.")
    return b"".join(parts)


def replace(found: Found, text: bytes) -> None:
    """Replace the file by `text`; every reader gets the old file or the new one.

    Not synced to disk: after a power cut every engine writes its bundles anew. Raises Refusal.
    """
    _rename_over(found, text)
    if not _opens_as(found.path, text):
        _rename_over(found, found.text)
        raise Refusal(
            f"{quoted(found.path)} still leads to the old file after its replacement, as a "
            "descriptor in /proc does; a runtime's config must be given by a path."
        )


def _rename_over(found: Found, text: bytes) -> None:
    temporary = write_beside(found, text, str(posix.getpid()))[0]
    try:
        posix.rename(temporary, found.real)
    except OSError as error:
        remove(temporary)
        raise _irreplaceable(found, error) from None


def write_beside(found: Found, text: bytes, name: str) -> "tuple[str, int]":
    """Write `text` to a file beside the config, with its owner and mode; return path and inode.

    `name` is unique to the writer, so that no two write to one file. Raises Refusal.
    """
    temporary = f"{directory(found.real)}/.config.json.runc-wrap.{name}"
    try:
        remove(temporary)  # left by a killed process with our pid
        return temporary, _write_new(temporary, text, found.stat)
    except OSError as error:
        remove(temporary)
        raise _irreplaceable(found, error) from None


def _irreplaceable(found: Found, error: OSError) -> Refusal:
    return Refusal(
        f"{quoted(found.real)} cannot be replaced by its confined form: {because(error)}."
    )


def _opens_as(path: str, text: bytes) -> bool:
    try:
        return read(path).text == text
    except Refusal:
        return False


def _write_new(path: str, text: bytes, like: posix.stat_result) -> int:
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW
    descriptor = posix.open(path, flags, 0o600)
    try:
        made = posix.fstat(descriptor)
        if (made.st_uid, made.st_gid) != (like.st_uid, like.st_gid):
            posix.chown(descriptor, like.st_uid, like.st_gid)
        posix.fchmod(descriptor, like.st_mode & MODE)
        write_whole(descriptor, text)
        return made.st_ino
    finally:
        posix.close(descriptor)


def write_whole(descriptor: int, text: bytes) -> None:
    """Write all of it; a single write may take only a part, for example on a nearly full disk."""
    rest = memoryview(text)
    while rest:
        rest = rest[posix.write(descriptor, rest) :]


def remove(path: str) -> None:
    """Remove a file if it exists."""
    try:
        posix.unlink(path)
    except OSError:
        return


def exists(path: str) -> bool:
    """Return whether a path exists and can be read with stat."""
    return version(path) is not None


def version(path: str) -> "tuple[int, ...] | None":
    """Return a value that changes when a file is replaced or written to, None if it is missing."""
    try:
        stat = posix.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def directory(path: str) -> str:
    """Return the directory part of a path, "." if it has none."""
    head, slash, _ = path.rpartition("/")
    return head or ("/" if slash else ".")
