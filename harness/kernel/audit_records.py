"""Causing audit records, and text as the kernel and its readers write it."""

import sys
from pathlib import Path

from harness.host.processes import run

STAMP = b"audit(1795542341.092:12589): "
FIELDS = (
    b"auid=4294967295 uid=1000 gid=0 ses=4294967295 pid=13117 comm=%b exe=%b sig=0"
    b" arch=c000003e syscall=110 compat=0 ip=0x7f2547e3fb77 code=0x7ffc0000"
)
SECCOMP = b"type=SECCOMP msg="

# Logs getppid (sysno of the native ABI) once for each comm given in hex; prints its pid first.
_PROVOKER = """
import os, sys, pyseccomp
rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
rules.add_rule(pyseccomp.LOG, "getppid")
print(os.getpid(), flush=True)
rules.load()
for comm in sys.argv[1:]:
    descriptor = os.open("/proc/self/comm", os.O_WRONLY)
    os.write(descriptor, bytes.fromhex(comm))
    os.close(descriptor)
    os.getppid()
"""


def provoke(*comms: bytes) -> int:
    """Run a process that calls getppid under a logging filter, once per name; return its pid."""
    words = [comm.hex() for comm in comms]
    return int(run([sys.executable, "-c", _PROVOKER, *words]).stdout)


def untrusted(text: bytes) -> bytes:
    """Write a string as linux:kernel/audit.c, audit_log_n_untrustedstring, does."""
    plain = all(0x21 <= byte <= 0x7E and byte != 0x22 for byte in text)
    return b'"%b"' % text if plain else text.hex().upper().encode()


def fields(comm: bytes = b"python", exe: bytes = b"/usr/bin/python3.13") -> bytes:
    """Return a record's fields with this program."""
    return FIELDS % (untrusted(comm), untrusted(exe))


def line(number: int, *, time_ms: int = 1795542341000, pid: int = 7) -> bytes:
    """Return audit.log's line of one record; `number` is its serial and decides its time."""
    stamp = time_ms + number
    head = b"audit(%d.%03d:%d): " % (stamp // 1000, stamp % 1000, number)
    return SECCOMP + head + fields().replace(b"pid=13117", b"pid=%d" % pid)


def write(path: Path, *lines: bytes) -> Path:
    """Write whole lines into a file."""
    path.write_bytes(b"".join(text + b"\n" for text in lines))
    return path
