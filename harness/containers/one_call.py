"""A program of one system call, as a container on arm64 makes it by either ABI.

Written as machine code, because no package of Debian's that the tests need compiles for 32-bit arm.
The program ends with the call's error number, or with 0 if the call returned 0.
"""

import struct
from dataclasses import dataclass

# keyctl(99) fails with EOPNOTSUPP when it comes to the kernel; unshare(CLONE_FILES) and
# personality(ADDR_NO_RANDOMIZE) need no privilege. By each ABI's number, with the argument.
CALLS = {
    "aarch64": {"keyctl": (219, 99), "unshare": (97, 0x400), "personality": (92, 0x40000)},
    "arm": {"keyctl": (311, 99), "unshare": (337, 0x400), "personality": (136, 0x40000)},
}
_ADDRESS = 0x10000


@dataclass(frozen=True)
class _Format:
    """An ABI's ELF header and program header (elf(5)), and its instructions."""

    bits: int
    machine: int
    flags: int
    head: str
    segment: str
    code: tuple[int, ...]
    operands: str

    def program(self, number: int, argument: int) -> bytes:
        code = struct.pack(f"<{len(self.code)}I", *self.code)
        code += struct.pack(self.operands, argument, number)
        sizes = struct.calcsize(self.head), struct.calcsize(self.segment)
        length = sum(sizes) + len(code)
        ident = b"\x7fELF" + bytes((self.bits // 32, 1, 1)).ljust(12, b"\0")
        executable, start = 2, _ADDRESS + sum(sizes)
        head = (executable, self.machine, 1, start, sizes[0], 0, self.flags, *sizes, 1, 0, 0, 0)
        load, readable, page = 1, 5, 0x1000  # and executable
        place = (0, _ADDRESS, _ADDRESS, length, length)
        segment = (readable, *place, page) if self.bits == 64 else (*place, readable, page)
        return (
            struct.pack(self.head, ident, *head) + struct.pack(self.segment, load, *segment) + code
        )


_FORMATS = {
    "aarch64": _Format(
        bits=64,
        machine=183,
        flags=0,
        head="<16sHHIQQQIHHHHHH",
        segment="<IIQQQQQQ",
        code=(
            0x580000C0,  # ldr x0, the argument
            0x580000E8,  # ldr x8, the number
            0xD4000001,  # svc #0
            0xCB0003E0,  # neg x0, x0
            0xD2800BA8,  # mov x8, #93 (exit)
            0xD4000001,  # svc #0
        ),
        operands="<QQ",
    ),
    "arm": _Format(
        bits=32,
        machine=40,
        flags=0x5000000,  # EABI version 5
        head="<16sHHIIIIIHHHHHH",
        segment="<IIIIIIII",
        code=(
            0xE59F0010,  # ldr r0, the argument
            0xE59F7010,  # ldr r7, the number
            0xEF000000,  # svc #0
            0xE2600000,  # rsb r0, r0, #0
            0xE3A07001,  # mov r7, #1 (exit)
            0xEF000000,  # svc #0
        ),
        operands="<II",
    ),
}


def program(abi: str, name: str) -> bytes:
    """Return the static ELF program that makes the call of this name in CALLS."""
    return _FORMATS[abi].program(*CALLS[abi][name])
