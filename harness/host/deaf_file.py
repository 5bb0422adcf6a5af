"""A file or directory whose file system never answers: minimal FUSE (linux:uapi/linux/fuse.h).

Its root is the file. When the server ends, the kernel fails all waiting requests.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import stat
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

from harness.host.processes import run
from harness.node.requirements import requires

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

_LOOKUP, _GETATTR, _OPEN, _READ, _INIT, _OPENDIR = 1, 3, 14, 15, 26, 27
_REQUEST = struct.Struct("=IIQQIIII")  # length, opcode, unique, node, uid, gid, pid, padding
_ANSWER = struct.Struct("=IiQ")  # length, error, unique
_VERSION = struct.Struct("=IIIIHHI10I")  # major, minor, readahead, flags, two bounds, max_write
_ATTRIBUTES = struct.Struct("=QII6Q10I")  # valid for (s, ns), 6 times 64 bits, then from atimensec
_OPENED = struct.Struct("=QII")
_KEEP_CACHE = 2  # without it, an open would wait for pending reads
_ENOSYS = 38
_SIZE, _MODE = 4096, stat.S_IFREG | 0o444


@contextlib.contextmanager
def deaf_file(path: Path) -> Iterator[Path]:
    """Yield a file of 4096 bytes that no process can read to its end."""
    requires(root=True)
    path.write_text("")
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode={_MODE:o},user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"deaf", os.fsencode(path), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount", str(path))
    pid = os.fork()
    if not pid:
        _serve(device)
    os.close(device)
    try:
        yield path
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        run(["umount", "--lazy", path])


_MOUNT = """
import ctypes, os, sys
options = f"fd={sys.argv[2]},rootmode=40755,user_id={sys.argv[3]},group_id=0,allow_other"
libc = ctypes.CDLL(None, use_errno=True)
sys.exit(libc.mount(b"deaf", sys.argv[1].encode(), b"fuse", 0, options.encode()) and 1)
"""


@contextlib.contextmanager
def deaf_directory(path: str, inside: Sequence[str], owner: int) -> Iterator[None]:
    """Mount a directory of `owner` that never answers stat(2); `inside` leads to its namespace."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    words = [*inside, sys.executable, "-c", _MOUNT, path, str(device), str(owner)]
    subprocess.run(words, pass_fds=[device], check=True)
    pid = os.fork()
    if not pid:
        _serve(device, silent={_GETATTR, _OPENDIR, _LOOKUP})
    os.close(device)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        run([*inside, "umount", "--lazy", path])


def _serve(device: int, silent: Collection[int] = (_READ,)) -> None:
    """Answer until killed."""
    try:
        while True:
            request = os.read(device, 1 << 20)
            _, code, unique, *_ = _REQUEST.unpack_from(request)
            if code not in silent:
                body = _body(code)
                error = 0 if body else -_ENOSYS
                os.write(device, _ANSWER.pack(_ANSWER.size + len(body), error, unique) + body)
    finally:
        os._exit(1)


def _body(code: int) -> bytes:
    if code == _INIT:
        return _VERSION.pack(7, 31, 0, 0, 0, 0, _SIZE, *[0] * 10)
    if code == _GETATTR:
        times = [0] * 3
        return _ATTRIBUTES.pack(3600, 0, 0, 1, _SIZE, 8, *times, *times, _MODE, 1, *[0] * 5)
    return _OPENED.pack(1, _KEEP_CACHE, 0) if code == _OPEN else b""
