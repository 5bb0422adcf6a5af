"""Work that another user can delay, done by child processes with a deadline.

A process that reads another user's files may wait for that user's file system (FUSE), in a state in
which even SIGKILL does not end it. So this is a child that we need not wait for, with none of our
files open: neither a terminal nor a pipe that our caller reads until its end. It runs as that user,
and so can read only what the user can; since it changed its uid, others cannot trace or dump it.
"""

import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

_LARGEST = 64 << 20  # bytes of one process' output
_ENDING_BY_ITSELF = 2.0  # seconds after the end of its output; its files may be a user's
_ENDING = 0.2  # seconds to end after SIGKILL
_NOGROUP = 65534  # a group that owns nothing
_DONE, _NOT_PERMITTED = 0, 77


@dataclass(slots=True)
class Output:
    """One process' output, a list of JSON values; `is_complete`: it finished its work.

    `is_permitted` is False if we may not become that user.
    """

    values: list[Any] = field(default_factory=list)
    is_complete: bool = False
    is_permitted: bool = True


def run(work: Mapping[int, Callable[[], Iterable[Any]]], seconds: float) -> dict[int, Output]:
    """Do each user's work in a process of that user, all in parallel and with one deadline.

    Work yields JSON values; it may import nothing.
    """
    processes = [Worker(uid, what) for uid, what in work.items()]
    outputs = {one.uid: Output() for one in processes}
    deadline = time.monotonic() + seconds
    waiting = {one.fd: one for one in processes}
    poll = select.poll()
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    while waiting and (left := deadline - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            one = waiting[fd]
            outputs[one.uid].values += one.read()
            if one.is_over or one.received > _LARGEST:
                poll.unregister(fd)
                del waiting[fd]
    for one in processes:
        code, output = one.end(), outputs[one.uid]
        output.is_complete, output.is_permitted = code == _DONE, code != _NOT_PERMITTED
    return outputs


class Worker:
    """A process of a user; `is_over`: its output has ended; `received`: bytes of it so far."""

    def __init__(self, uid: int, work: Callable[[], Iterable[Any]]) -> None:
        self.uid, self.is_over, self.received = uid, False, 0
        self._begun: list[bytes] = []  # parts of a line whose end is not there yet
        self.fd, writer = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if not self.pid:
            _run_as(uid, work, writer)
        os.close(writer)

    def read(self) -> list[Any]:
        """Wait for output; return its values."""
        part = os.read(self.fd, 1 << 20)
        self.received += len(part)
        self.is_over = not part
        self._begun.append(part)
        if b"\n" not in part:  # joined only once: a line may have megabytes, a part 64 KiB
            return []
        *lines, rest = b"".join(self._begun).split(b"\n")
        self._begun = [rest]
        return [json.loads(line) for line in lines]

    def within(self, deadline: float, held: Callable[[], float]) -> Iterator[Any]:
        """Yield its values until it ends or the deadline comes, or nothing for `held()` seconds."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while not self.is_over and (left := deadline - time.monotonic()) > 0:
            before = self.received  # bytes, of incomplete lines as well
            if poll.poll(max(min(left, held()), 0) * 1000):
                yield from self.read()
            if self.received == before:
                return

    def end(self) -> int | None:
        """Return its exit status; kill it if it still runs: None if it did not end in time."""
        os.close(self.fd)
        if not self.is_over:
            os.kill(self.pid, signal.SIGKILL)
        until = time.monotonic() + (_ENDING_BY_ITSELF if self.is_over else _ENDING)
        while time.monotonic() < until:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        return None


def _run_as(uid: int, work: Callable[[], Iterable[Any]], writer: int) -> NoReturn:
    code = 1
    try:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.closerange(3, writer)
        os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))
        code = _done(work, writer) if _is_now(uid) else _NOT_PERMITTED
    finally:
        os._exit(code)


def _done(work: Callable[[], Iterable[Any]], writer: int) -> int:
    for value in work():
        rest = memoryview(json.dumps(value).encode() + b"\n")
        while rest:
            rest = rest[os.write(writer, rest) :]
    return _DONE


def _is_now(uid: int) -> bool:
    """Become a user; tell whether that was permitted."""
    if uid == os.geteuid():
        return True
    try:
        os.setgroups([])
        os.setresgid(_NOGROUP, _NOGROUP, _NOGROUP)
        os.setresuid(uid, uid, uid)
    except PermissionError:
        return False
    return True
