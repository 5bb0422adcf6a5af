"""The container that shows what an engine does: started through it, looked at, removed by name.

A canary asks for no seccomp profile, so that it gets ours (Podman's keeps Podman's own), and waits.
A request of a capture asks for the engine's own default and exactly some capabilities; our launcher
records what the engine hands to it and refuses, so that no process ever starts.

Nothing is pulled: Docker imports our image, Podman gets our root file system, containerd and CRI-O
start a pod with the sandboxes' image. No program of the node is needed, either: what waits in ours
is a few instructions. A name marks them as ours, not a label: an image's author
could give that to all containers. A capture's token is in no command line, which every user can
read: a container that has it while a request waits would be recorded instead.
"""

import hashlib
import io
import os
import secrets
import struct
import tarfile
from pathlib import Path
from typing import NamedTuple

from runc_wrap.engines.handler import EngineError
from runc_wrap.hotpath.main import CAPTURE as VARIABLE
from runc_wrap.node import paths

CANARY, CAPTURE = "canary", "capture"
_DIGITS = 8
# the installation that runs: another prefix has probes of its own on the same node
OWNER = hashlib.sha256(str(paths.installed().prefix).encode()).hexdigest()[:_DIGITS]
TOKEN = VARIABLE.decode().removesuffix("=")  # the variable that has it
COMMAND = "/none"  # of a request: it would not start if our launcher did not refuse
PROGRAM = "idle"
_DIRECTORIES = ("dev", "etc", "proc", "run", "sys", "tmp")  # on which engines mount
IMAGE = f"localhost/runc-wrap-canary:{OWNER}"
_LOADED_AT = 0x400000
_EXECUTE, _READ = 1, 4
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


class Probe(NamedTuple):
    """What is asked for: `purpose` is CANARY or CAPTURE.

    `handler` is a handler's name, "" for the engine's default, or a path where the engine takes
    one. `caps` are exactly those of a request, as CAP_NAME; its `token` proves that root asks.
    """

    purpose: str
    handler: str = ""
    caps: frozenset[str] = frozenset()
    token: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the container."""
        return {TOKEN: self.token} if self.token else {}


class Started(NamedTuple):
    """The container's id, "" if it did not start; what the engine said of that, in one line."""

    id: str
    said: str = ""


def name(purpose: str) -> str:
    """Return a name for a container of Docker's or Podman's."""
    return f"runc-wrap-{purpose}-{OWNER}{secrets.token_hex(_DIGITS // 2)}"


def pattern(purpose: str) -> str:
    """Return the regular expression for all such names."""
    return f"^runc-wrap-{purpose}-{OWNER}[0-9a-f]{{{_DIGITS}}}$"


def write_rootfs(directory: Path) -> None:
    """Fill a directory with a root file system."""
    for name in _DIRECTORIES:
        (directory / name).mkdir()
    (directory / PROGRAM).write_bytes(_program())
    (directory / PROGRAM).chmod(0o755)


def archive(directory: Path) -> bytes:
    """Return one, made in an empty directory, as a tar archive, as `docker import` reads it."""
    write_rootfs(directory)
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for each in directory.iterdir():
            tar.add(each, each.name)
    return memory.getvalue()


def _program() -> bytes:
    """Return a static executable with one segment: the headers and the code.

    Raises EngineError on other architectures.
    """
    machine = os.uname().machine
    if machine not in _CODE:
        raise EngineError(f"no canary for {machine}; try: `engine add` without --restart")
    kind, code = _CODE[machine]
    header, segment = 64, 56
    start, size = header + segment, header + segment + len(code)
    fields = (2, kind, 1, _LOADED_AT + start, header, 0, 0, header, segment, 1, 64, 0, 0)
    load = (1, _READ | _EXECUTE, 0, _LOADED_AT, _LOADED_AT, size, size, 0x1000)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", *fields)
    return head + struct.pack("<IIQQQQQQ", *load) + code
