"""An image of our own for probe containers: a program that waits, as a rootfs and as its archive.

Nothing is pulled, and no program of the node is needed: the program is a few instructions.
"""

from __future__ import annotations

import io
import os
import struct
import tarfile
from typing import TYPE_CHECKING

from runc_wrap.engines import probe_container
from runc_wrap.engines.handler import EngineError

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "idle"
DIRECTORIES = ("dev", "etc", "proc", "run", "sys", "tmp")  # on which engines mount
REFERENCE = f"localhost/runc-wrap-canary:{probe_container.OWNER}"
_AT = 0x400000
_PT_GNU_STACK = 0x6474E551
_EXECUTE, _WRITE, _READ = 1, 2, 4
# machine of uname(2) -> (ELF machine, code that waits for signals for ever)
_CODE = {
    # 0: mov eax, 34 (pause); syscall; jmp 0
    "x86_64": (62, bytes.fromhex("b8220000000f05ebf7")),
    # 0: x0..x4 = 0; x8 = 73 (ppoll); svc 0; b 0
    "aarch64": (
        183,
        bytes.fromhex("000080d2010080d2020080d2030080d2040080d2280980d2010000d4f9ffff17"),
    ),
}


def program() -> bytes:
    """Return a static executable. Raises EngineError on other architectures."""
    machine = os.uname().machine
    if machine not in _CODE:
        raise EngineError(
            f"no canary for the architecture {machine}",
            " or ".join(_CODE),
            "`engine add` without --restart",
        )
    return _elf64(*_CODE[machine])


def _elf64(machine: int, code: bytes) -> bytes:
    """Return an executable with one segment, the headers and the code, and no executable stack."""
    header, segment = 64, 56
    start, size = header + 2 * segment, header + 2 * segment + len(code)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    fields = (2, machine, 1, _AT + start, header, 0, 0, header, segment, 2, 64, 0, 0)
    load = (1, _READ | _EXECUTE, 0, _AT, _AT, size, size, 0x1000)
    stack = (_PT_GNU_STACK, _READ | _WRITE, 0, 0, 0, 0, 0, 16)
    segments = struct.pack("<IIQQQQQQ", *load) + struct.pack("<IIQQQQQQ", *stack)
    return ident + struct.pack("<HHIQQQIHHHHHH", *fields) + segments + code


def write_rootfs(directory: Path) -> None:
    """Fill a directory with a root file system."""
    for name in DIRECTORIES:
        (directory / name).mkdir()
    (directory / PROGRAM).write_bytes(program())
    (directory / PROGRAM).chmod(0o755)


def archive() -> bytes:
    """Return the same as a tar archive, as `docker import` reads it."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for name in DIRECTORIES:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        entry, content = tarfile.TarInfo(PROGRAM), program()
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return memory.getvalue()
