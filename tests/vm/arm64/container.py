"""A container run by runc or crun on the arm64 machine, with programs of one call each.

They are machine code, because no package of Debian's that the tests need compiles for 32-bit arm.
Each ends with its call's error number, or with 0 if the call returned 0.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.containers import bundles
from harness.engines.images import DIRECTORIES
from harness.kernel import process_status
from harness.node.guest import Guest

ROOTFS = "/root/rootfs"
STATE = "/run/runtime"
# keyctl(99) fails with EOPNOTSUPP when it comes to the kernel; unshare(CLONE_FILES) and
# personality(ADDR_NO_RANDOMIZE) need no privilege. By each ABI's number, with the argument.
CALLS = {
    "aarch64": {"keyctl": (219, 99), "unshare": (97, 0x400), "personality": (92, 0x40000)},
    "arm": {"keyctl": (311, 99), "unshare": (337, 0x400), "personality": (136, 0x40000)},
}
_ADDRESS = 0x10000
_APPLETS = "sh sleep cat"
_FILL = f"""
cd {ROOTFS}; mkdir -p {" ".join(DIRECTORIES)}; cp /usr/bin/busybox bin
for name in {_APPLETS}; do ln -s busybox bin/$name; done
"""
_CREATE = f"""
cd "/root/$2"; runtime="$1 --root {STATE} --log log"
$runtime create --bundle . --pid-file pid "$2" </dev/null >/dev/null 2>&1 && $runtime start "$2" ||
    {{ cat log >&2; exit 1; }}
cat "/proc/$(cat pid)/status"
"""
# Prints each program's name and exit status.
_MAKE_CALLS = (
    'for one in /calls/*; do status=0; "$one" || status=$?; echo "${one##*/} $status"; done'
)


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


def _program(abi: str, name: str) -> bytes:
    """Return the static ELF program that makes the call of this name in CALLS."""
    return _FORMATS[abi].program(*CALLS[abi][name])


def fill_rootfs(guest: Guest, directory: Path) -> None:
    """Make the containers' root directory on the machine; `directory` is for files on the way."""
    for abi, calls in CALLS.items():
        for name in calls:
            file = directory / f"{abi}-{name}"
            file.write_bytes(_program(abi, name))
            file.chmod(0o755)
    guest.copy_in(sorted(directory.iterdir()), f"{ROOTFS}/calls")
    guest.sh(_FILL)


@dataclass(frozen=True)
class Container:
    """A container named NAME of the bundle /root/NAME; a test deletes it."""

    guest: Guest
    name: str

    @property
    def config(self) -> str:
        return f"/root/{self.name}/config.json"

    def read(self) -> dict[str, Any]:
        """Return its config as it is now."""
        found: dict[str, Any] = self.guest.json('cat "$1"', self.config)
        return found

    def write(self, config: Mapping[str, Any]) -> None:
        """Write its config; the bundle need not be there."""
        words = [f"/root/{self.name}", self.config, json.dumps(config)]
        self.guest.sh('mkdir -p "$1"; printf %s "$3" > "$2"', *words)

    def start(self, runtime: str) -> int:
        """Create and start it; return its first process' Seccomp: in the kernel."""
        status = self.guest.sh(_CREATE, runtime, self.name)
        return process_status.seccomp_in(status)

    def calls(self, runtime: str) -> dict[str, int]:
        """Make each call in it; return what became of them, by ABI-NAME: an error number, or 0."""
        script = f'"$1" --root {STATE} exec "$2" sh -c "$3"'
        lines = self.guest.sh(script, runtime, self.name, _MAKE_CALLS).splitlines()
        return {name: int(status) for name, status in (line.split() for line in lines)}

    def delete(self, runtime: str) -> None:
        self.guest.sh(f'"$1" --root {STATE} delete --force "$2"', runtime, self.name)


def container(guest: Guest, name: str) -> Container:
    """Write a bundle without seccomp, whose container sleeps."""
    made = Container(guest, name)
    config = bundles.config(name)
    config["root"]["path"] = ROOTFS
    made.write(config)
    return made
