"""File systems that do not answer.

One is FUSE (linux/fuse.h), which falls silent: when its server ends, the kernel fails all that
waits for it. Another is frozen: its writers wait until it is thawed (fsfreeze(8)).
"""

import contextlib
import os
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import IntEnum
from pathlib import Path

from harness.host.processes import run
from harness.node.requirements import requires

_ENOSYS = 38
_REQUEST = struct.Struct("<IIQQIIII")  # length, opcode, unique, node, uid, gid, pid, padding
_ROOT, _FILE = 1, 2
_KEEP_CACHE = 2  # without it, an open would wait for pending reads
_SIZE = 16 << 20  # bytes of a file system that can be frozen
_MOST, _PART = 1 << 20, 1 << 16  # bytes of a request, and of a read or write


class Ask(IntEnum):
    """The kinds of requests that are known here."""

    LOOKUP, FORGET, GETATTR, OPEN, READ = 1, 2, 3, 14, 15
    RELEASE, FLUSH, INIT, OPENDIR = 18, 25, 26, 27


_MOUNT = """
import ctypes, os, sys
options = f"fd={sys.argv[2]},rootmode=40755,user_id={sys.argv[3]},group_id=0,allow_other"
libc = ctypes.CDLL(None, use_errno=True)
sys.exit(libc.mount(b"silent", sys.argv[1].encode(), b"fuse", 0, options.encode()) and 1)
"""


@contextlib.contextmanager
def mounted(
    place: str | Path,
    content: bytes = b"\0" * 4096,
    *,
    silent: Collection[int] = (),
    inside: Sequence[str] = (),
    owner: int = 0,
) -> Iterator[Callable[[], None]]:
    """Mount it on a directory: a file of any name there has this content and may be executed.

    Requests in `silent` are never answered; what is yielded has the server answer none any more.
    `inside` leads to the directory's namespace, `owner` is the root directory's.
    """
    requires("/dev/fuse", root=True)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    words = [*inside, sys.executable, "-c", _MOUNT, str(place), str(device), str(owner)]
    subprocess.run(words, pass_fds=[device], check=True)
    server = os.fork()
    if not server:
        _serve(device, content, silent)
    os.close(device)

    def silence() -> None:
        os.kill(server, signal.SIGSTOP)
        time.sleep(0.05)

    try:
        yield silence
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        run([*inside, "umount", "--lazy", place])


@contextlib.contextmanager
def deaf_file(path: Path) -> Iterator[Path]:
    """Yield a file of 4096 bytes that no process can read to its end."""
    path.mkdir()
    with mounted(path, silent={Ask.READ}):
        yield path / path.name


@contextlib.contextmanager
def deaf_directory(path: str, inside: Sequence[str], owner: int) -> Iterator[None]:
    """Mount a directory of `owner` that never answers stat(2); `inside` leads to its namespace."""
    silent = {Ask.GETATTR, Ask.OPENDIR, Ask.LOOKUP}
    with mounted(path, silent=silent, inside=inside, owner=owner):
        yield


def _serve(device: int, content: bytes, silent: Collection[int]) -> None:
    try:
        while request := os.read(device, _MOST):
            _, code, unique, node, *_ = _REQUEST.unpack_from(request)
            if code != Ask.FORGET and code not in silent:
                data = _answer(code, node, request[_REQUEST.size :], content)
                error = -_ENOSYS if data is None else 0
                size = 16 + len(data or b"")
                os.write(device, struct.pack("<IiQ", size, error, unique) + (data or b""))
    finally:
        os._exit(0)


def _answer(code: int, node: int, body: bytes, content: bytes) -> bytes | None:
    match code:
        case Ask.INIT:
            rest = (1, 16, 0, 0, *[0] * 7)
            return struct.pack("<IIIIHHIIHHI7I", 7, 31, _PART, 0, 12, 10, _PART, *rest)
        case Ask.LOOKUP:  # nothing is kept: each stat asks again
            return struct.pack("<QQQQII", _FILE, 0, 0, 0, 0, 0) + _attributes(_FILE, content)
        case Ask.GETATTR:
            return struct.pack("<QII", 0, 0, 0) + _attributes(node, content)
        case Ask.OPEN:
            return struct.pack("<QII", 1, _KEEP_CACHE, 0)
        case Ask.READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return content[offset : offset + size]
        case Ask.RELEASE | Ask.FLUSH:
            return b""
    return None


def _attributes(node: int, content: bytes) -> bytes:
    mode, size = (stat.S_IFDIR, 0) if node == _ROOT else (stat.S_IFREG, len(content))
    return struct.pack(
        "<QQQQQQ10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode | 0o755, 1, 0, 0, 0, 4096, 0
    )


@contextlib.contextmanager
def own_disk(directory: Path, image: Path) -> Iterator[None]:
    """Mount a separate file system on a directory, in the new file `image`."""
    requires("mkfs.ext4", "fsfreeze", "/dev/loop-control", root=True)
    with image.open("wb") as file:
        file.truncate(_SIZE)
    run(["mkfs.ext4", "-q", image])
    directory.mkdir(parents=True, exist_ok=True)
    run(["mount", "-o", "loop,noatime", image, directory])
    try:
        yield
    finally:
        run(["umount", directory])


@contextlib.contextmanager
def frozen(directory: Path) -> Iterator[None]:
    """Make every writer there wait, unkillable, during the block."""
    run(["fsfreeze", "--freeze", directory])
    try:
        yield
    finally:
        run(["fsfreeze", "--unfreeze", directory])
