"""A file system (FUSE) with one program in it, whose server stops answering when told to."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# linux/fuse.h
_LOOKUP, _GETATTR, _OPEN, _READ, _FLUSH, _RELEASE, _INIT = 1, 3, 14, 15, 25, 18, 26
_FORGET, _ENOSYS = 2, 38
_REQUEST = struct.Struct("<IIQQIIII")  # length, opcode, unique, node, uid, gid, pid, padding
_ROOT, _PROGRAM = 1, 2
_DETACH = 2
_MOST = 1 << 20


@contextmanager
def mounted(place: Path, program: Path) -> Iterator[Callable[[], None]]:
    """Mount it; PLACE/program is the program. Yield what has the server fall silent."""
    place.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other"
    assert libc.mount(b"fuse", os.fsencode(place), b"fuse", 0, options.encode()) == 0
    server = os.fork()
    if not server:
        _serve(descriptor, program.read_bytes())
    os.close(descriptor)

    def silence() -> None:
        os.kill(server, signal.SIGSTOP)
        time.sleep(0.05)

    try:
        yield silence
    finally:
        os.kill(server, signal.SIGKILL)  # what waits for it fails
        os.waitpid(server, 0)
        libc.umount2(os.fsencode(place), _DETACH)


def _serve(descriptor: int, program: bytes) -> None:
    try:
        while request := os.read(descriptor, _MOST):
            _answer(descriptor, request, program)
    finally:
        os._exit(0)


def _answer(descriptor: int, request: bytes, program: bytes) -> None:
    _, code, unique, node, *_ = _REQUEST.unpack_from(request)
    if code == _FORGET:
        return
    body = request[_REQUEST.size :]
    error = 0
    data = b""
    if code == _INIT:
        data = struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 10, 65536, 1, 16, 0, 0, *[0] * 7)
    elif code == _LOOKUP:  # nothing is kept: each stat asks again
        data = struct.pack("<QQQQII", _PROGRAM, 0, 0, 0, 0, 0) + _attributes(_PROGRAM, program)
    elif code == _GETATTR:
        data = struct.pack("<QII", 0, 0, 0) + _attributes(node, program)
    elif code == _OPEN:
        data = struct.pack("<QII", 1, 0, 0)
    elif code == _READ:
        _, offset, size = struct.unpack_from("<QQI", body)
        data = program[offset : offset + size]
    elif code not in (_FLUSH, _RELEASE):
        error = _ENOSYS
    os.write(descriptor, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)


def _attributes(node: int, program: bytes) -> bytes:
    mode, size = (stat.S_IFDIR, 0) if node == _ROOT else (stat.S_IFREG, len(program))
    mode |= 0o755
    return struct.pack("<QQQQQQ10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
