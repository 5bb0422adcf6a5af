"""A process whose keyctl(2) is sent to a seccomp listener, and that listener."""

import contextlib
import ctypes
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pyseccomp

KEYCTL = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, "keyctl")
AS_USUAL = b"-1 95\n"  # EOPNOTSUPP: the kernel's own answer to keyctl(99)
_NOTIFY = 0x7FC00000


@dataclass
class Sender:
    """`pid` makes a call for each byte written to `orders`; each result comes by `results`."""

    pid: int
    listener: int
    orders: int
    results: int

    def call(self) -> None:
        """Have it make one call, which then waits."""
        os.write(self.orders, b".")


@contextlib.contextmanager
def sender() -> Iterator[Sender]:
    """Start such a process; it and everything open are gone afterwards."""
    orders, give = os.pipe()
    take, results = os.pipe()
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            _filtered(there, orders, results)
        finally:
            os._exit(1)
    there.close()
    _, fds, _, _ = socket.recv_fds(here, 1, 1)
    here.close()
    os.close(orders)
    os.close(results)
    made = Sender(pid, fds[0], give, take)
    try:
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        for fd in (made.listener, give, take):
            with contextlib.suppress(OSError):
                os.close(fd)


def _filtered(there: socket.socket, orders: int, results: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    made = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    made.add_rule(_NOTIFY, "keyctl")
    made.load()
    listener = pyseccomp._libseccomp.seccomp_notify_fd(made._filter)  # noqa: SLF001 - it has no name for it
    socket.send_fds(there, [b"."], [listener])
    os.close(listener)
    while os.read(orders, 1):
        ctypes.set_errno(0)
        result = libc.syscall(KEYCTL, *map(ctypes.c_long, (99, 1 << 40, 0, 0, 0)))
        os.write(results, f"{result} {ctypes.get_errno()}\n".encode())
