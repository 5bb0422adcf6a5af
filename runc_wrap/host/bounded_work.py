"""Work that somebody else can make wait: done by processes of their own, until a deadline.

What reads another user's files may wait for that user's file system (FUSE), and the kernel then
keeps it from ending even by SIGKILL. So it is a process that nobody waits for, with nothing of ours
open: neither a terminal nor a pipe that whoever called us reads to its end. It runs as that user,
and so sees nothing that the user does not; who changes his uid is not for others to trace or dump.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_LARGEST = 64 << 20  # bytes of what one process tells
_ENDING_BY_ITSELF = 2.0  # seconds for one that has said all; its files may be a user's own
_ENDING = 0.2  # seconds for one that was killed to be gone
_NOBODYS = 65534  # a group that owns nothing
_DONE, _NOT_OURS = 0, 77


@dataclass(slots=True)
class Told:
    """What one process told, each a JSON value; `is_whole` says that it came to its end.

    `is_ours` is False where we may not become that user.
    """

    values: list[Any] = field(default_factory=list)
    is_whole: bool = False
    is_ours: bool = True


def run(work: Mapping[int, Callable[[], Iterable[Any]]], seconds: float) -> dict[int, Told]:
    """Do the work of each user in a process of that user's, all at once and with one deadline.

    What a piece of work yields are JSON values; it may import nothing.
    """
    processes = [Process(uid, what) for uid, what in work.items()]
    told = {one.uid: Told() for one in processes}
    deadline = time.monotonic() + seconds
    waiting = {one.fd: one for one in processes}
    poll = select.poll()
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    while waiting and (left := deadline - time.monotonic()) > 0:
        for fd, _ in poll.poll(left * 1000):
            one = waiting[fd]
            told[one.uid].values += one.hear()
            if one.is_over or one.heard > _LARGEST:
                poll.unregister(fd)
                del waiting[fd]
    for one in processes:
        code = one.leave()
        told[one.uid].is_whole, told[one.uid].is_ours = code == _DONE, code != _NOT_OURS
    return told


class Process:
    """One of a user's; `is_over` says that nothing more is to be heard."""

    def __init__(self, uid: int, work: Callable[[], Iterable[Any]]) -> None:
        self.uid, self.is_over, self.heard = uid, False, 0
        self._rest = b""
        self.fd, writer = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if not self.pid:
            _be(uid, work, writer)
        os.close(writer)

    def hear(self) -> list[Any]:
        """Return what it has told; wait for that."""
        part = os.read(self.fd, 1 << 20)
        self.heard += len(part)
        self.is_over = not part
        *lines, self._rest = (self._rest + part).split(b"\n")
        return [json.loads(line) for line in lines]

    def hear_within(self, seconds: float) -> list[Any]:
        """Return what it tells, nothing if that takes longer."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return self.hear() if poll.poll(max(seconds, 0) * 1000) else []

    def leave(self) -> int | None:
        """Return how it ended; None for one that went on: it is killed, and may never end."""
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


def _be(uid: int, work: Callable[[], Iterable[Any]], writer: int) -> NoReturn:
    code = 1
    try:
        _leave_all_but(writer)
        code = _done(work, writer) if _is_now(uid) else _NOT_OURS
    finally:
        os._exit(code)


def _done(work: Callable[[], Iterable[Any]], writer: int) -> int:
    for value in work():
        rest = memoryview(json.dumps(value).encode() + b"\n")
        while rest:
            rest = rest[os.write(writer, rest) :]
    return _DONE


def _leave_all_but(writer: int) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.closerange(3, writer)
    os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))


def _is_now(uid: int) -> bool:
    """Become a user; tell whether we may."""
    if uid == os.geteuid():
        return True
    try:
        os.setgroups([])
        os.setresgid(_NOBODYS, _NOBODYS, _NOBODYS)
        os.setresuid(uid, uid, uid)
    except PermissionError:
        return False
    return True
