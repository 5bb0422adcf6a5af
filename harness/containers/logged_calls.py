"""Calls made in a container by a static program, and their audit records."""

import json
import os
import platform
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.containers.bundles import Bundle
from harness.kernel import kernel_log
from harness.node.requirements import unmet

PROGRAM = "calls"
_NETLINK_AUDIT, _READLOG, _SECCOMP, _HEADER = 9, 1, 1326, 16
_PROGRAMS, INIT = rb'exe="/calls"', rb'comm="runc:\[2:INIT\]"'
_RECORD = rb".* arch=(\w+) syscall=(\d+).* code=0x(\w+)"
_ARCH = {"x86_64": "c000003e", "x86": "40000003", "x32": "c000003e"}


def make(bundle: Bundle, runtime: Path | str, program: Path, *calls: str) -> dict[str, str]:
    """Run a container that makes these calls ("ABI:NUMBER:ARGUMENT..."); return what each got."""
    if platform.machine() != "x86_64":
        unmet("needs x86_64: the calls are written for it")
    (bundle.path / "rootfs" / PROGRAM).write_bytes(program.read_bytes())
    (bundle.path / "rootfs" / PROGRAM).chmod(0o755)
    config = bundle.read()
    config["process"]["args"] = [f"/{PROGRAM}", *calls]
    bundle.config.write_text(json.dumps(config))
    done = bundle.call(runtime, "run")
    assert done.returncode == 0, done.stdout
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def number(call: str) -> tuple[str, int]:
    """Return a call as in audit records: (arch, number)."""
    abi, word = call.split(":")[:2]
    return _ARCH[abi], int(word) | (0x40000000 if abi == "x32" else 0)


@contextmanager
def audited(whose: bytes = _PROGRAMS) -> Iterator[set[tuple[str, int, str]]]:
    """Collect the seccomp records of our program: {(arch, number, code)} once the block ends.

    Or of INIT: what runc is between loading a filter and executing the container's program.
    """
    found: set[tuple[str, int, str]] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_AUDIT) as audit:
        audit.setsockopt(socket.SOL_SOCKET, kernel_log.SO_RCVBUFFORCE, 16 << 20)
        audit.bind((0, _READLOG))
        yield found
        marker = os.urandom(16).hex()
        kernel_log.mark(marker)
        audit.settimeout(60)
        found.update(_records(audit, marker.encode(), whose))


def _records(audit: socket.socket, marker: bytes, whose: bytes) -> Iterator[tuple[str, int, str]]:
    while not kernel_log.is_mark(message := audit.recv(9000), marker):
        record = re.search(whose + _RECORD, message[_HEADER:])
        if int.from_bytes(message[4:6], "little") == _SECCOMP and record:
            yield record[1].decode(), int(record[2]), record[3].decode()
