"""Reading and replacing the engines' files: whole, atomic, same mode, owner and xattrs."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from runc_wrap.host.files import sync
from runc_wrap.node.engines.handler import EngineError

MAX_BYTES = 4 * 1024 * 1024


def read(path: Path) -> str | None:
    """Return the text of `path`, line ends kept; None if it does not exist. EngineError else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO: at once
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise EngineError(f"{path} is not a file", "a configuration file", "--config FILE")
            return _text(stream.read(MAX_BYTES + 1), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror}", "a readable file", "run as root") from error


def _text(data: bytes, path: Path) -> str:
    if len(data) > MAX_BYTES:
        raise EngineError(
            f"{path} is over {MAX_BYTES} bytes", "a configuration file", "--config FILE"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise EngineError(f"{path}: {error}", "UTF-8", "correct the file first") from error


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Put `text` in place of `path` at once; a crash leaves the old file or the new one."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode())
            stream.flush()
            _like(path, stream.fileno(), mode)
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)


def _like(path: Path, descriptor: int, mode: int) -> None:
    """Give `descriptor` the mode, owner and xattrs of `path`, or `mode` if there is none."""
    try:
        old = path.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, mode)
        return
    os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    with contextlib.suppress(OSError):
        for name in os.listxattr(path):
            os.setxattr(descriptor, name, os.getxattr(path, name))


def missing_parents(path: Path) -> list[Path]:
    """Return the directories above `path` that do not exist, outermost first."""
    return [parent for parent in reversed(path.parents) if not parent.exists()]
