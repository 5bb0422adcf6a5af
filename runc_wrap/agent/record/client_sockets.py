"""The sockets at which others tell the service observe something, or ask it to write.

PREFIX/var/agent/exec.sock takes launchers' notices of each `exec`, a datagram for each:
"runc-wrap/1" and the words that the launcher was called with, each NUL-terminated, as many as fit
(launcher/ask.c). No launcher waits: a notice that does not fit into the queue
(net.unix.max_dgram_qlen) is dropped, and the joining process is then found only by its namespaces
and cgroup (cgroup_membership). The kernel states the time and the sender (unix(7), SO_PASSCRED);
only root of the first user namespace is uid 0 here. The words name the container. The joining
process may end before its cgroup could be read; the runtime that starts it lives longer, and all
its children are the container's. Words prove nothing by themselves: only those of root's launcher
count, never those in some process' memory.

PREFIX/var/agent/evidence.sock takes connections of root's commands that wait until all calls made
before are on disk; connecting is the question. The answer is one packet, "runc-wrap/1" and until
when everything is written (seconds since the epoch), each NUL-terminated. One write answers all
that wait, at the earliest SOONEST after the last answer.

Both sockets outlive this process: its successor goes on there.
"""

import os
import socket
import struct
import time
from collections.abc import Iterator

from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.evidence.attribution.process_tree import ProcessTree
from runc_wrap.host import runtime_state, socket_peers
from runc_wrap.hotpath.ledger_file import Key

EXEC, EVIDENCE = "exec", "evidence"  # of agent.service_lifecycle.KINDS
VERSION = "runc-wrap/1"
LONGEST = 4096  # bytes of a notice, as in launcher/ask.c
_AT_ONCE = 64  # notices
_WHO, _WHEN = struct.Struct("=iII"), struct.Struct("@ll")  # struct ucred, struct timespec
_SO_TIMESTAMPNS = 35
_ROOM = socket.CMSG_SPACE(_WHO.size) + socket.CMSG_SPACE(_WHEN.size)
# Options of `exec` that take the next word (runc:exec.go, crun:src/exec.c)
_TAKE_ONE = frozenset(
    """additional-gids apparmor cap cgroup console-socket cwd env pid-file pidfd-socket preserve-fds
    process process-label user c e g p u""".split()
)
SECONDS = 1.5  # until a question is answered with what is written; commands wait for two
SOONEST = 0.1  # seconds between answers

Notice = tuple[int, float, list[str]]  # the sender's pid, the time, its words without argv[0]


class Executions:
    """Launchers' notices of each `exec`: which process starts another in a container."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=os.dup(fd))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def fileno(self) -> int:
        """Return the descriptor that is readable when a notice has come."""
        return self.socket.fileno()

    def read(self, known: Known, tree: ProcessTree) -> None:
        """Take in processes that join a container, before news of what may be their children."""
        for pid, when, words in self.take():
            key = named(words, known)
            if key is None:
                tree.refresh()
                key = named(words, known)
            if key:
                tree.places.join(key, pid, when)

    def take(self) -> Iterator[Notice]:
        """Yield root's notices since the last call; other users' and malformed ones are skipped."""
        for _ in range(_AT_ONCE):
            try:
                text, others, flags, _ = self.socket.recvmsg(LONGEST, _ROOM, socket.MSG_DONTWAIT)
            except OSError:  # BlockingIOError: no more
                return
            notice = _parsed(text, {kind: value for _, kind, value in others})
            if notice and not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                yield notice


def _parsed(text: bytes, kernels: dict[int, bytes]) -> Notice | None:
    who, when = kernels.get(socket.SCM_CREDENTIALS), kernels.get(_SO_TIMESTAMPNS)
    version, *words = text.decode("utf-8", "surrogateescape").split("\0")
    if not who or not when or version != VERSION or not words or words.pop():
        return None
    pid, uid, _ = _WHO.unpack(who)
    seconds, nanoseconds = _WHEN.unpack(when)
    return (pid, seconds + nanoseconds / 1e9, words[1:]) if pid > 0 and uid == 0 else None


def named(words: list[str], known_containers: Known) -> Key | None:
    """Return the container that an `exec` names, None if these words are not one."""
    if "exec" not in words:
        return None
    at = words.index("exec")
    name = _first_operand(words[at + 1 :])
    roots = _roots(words[:at])
    return next((key for root in roots if (key := known_containers.of(root, name))), None)


def _first_operand(words: list[str]) -> str:
    """Return the first word that is neither an option nor an option's value, "" if none is."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            return word
        if word.lstrip("-") in _TAKE_ONE:
            next(rest, "")
    return ""


def _roots(flags: list[str]) -> tuple[str, ...]:
    """Return the value of --root, or the possible defaults; one dash or two are the same."""
    for word, following in zip(flags, [*flags[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name in ("--root", "-root"):
            return (value if equals else following,)
    return (*runtime_state.DEFAULT_ROOTS, "")


class Questions:
    """Commands that wait until what came before is written; they connect to `listening`."""

    def __init__(self, fd: int) -> None:
        self.listening = socket.socket(fileno=os.dup(fd))
        self.listening.settimeout(0)
        self._waiting: list[tuple[float, socket.socket]] = []
        self._last = 0.0  # on the monotonic clock

    @property
    def asked(self) -> float | None:
        """When the last waiting command asked; None if none waits or it is too soon to answer."""
        is_due = self._waiting and time.monotonic() - self._last >= SOONEST
        return self._waiting[-1][0] if is_due else None

    @property
    def is_late(self) -> bool:
        """Return whether a command has waited for as long as it may."""
        return bool(self._waiting) and not 0 <= time.time() - self._waiting[0][0] < SECONDS

    def due(self) -> list[float]:
        """Return when to look again, on the monotonic clock; [] if no command waits."""
        return [max(time.monotonic() + 0.005, self._last + SOONEST)] if self._waiting else []

    def take(self) -> None:
        """Accept connections; close those that are not root's or this agent's own user's."""
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            connection.settimeout(0)
            if socket_peers.uid_of(connection) in (0, os.geteuid()):
                self._waiting.append((time.time(), connection))
            else:
                connection.close()

    def answer(self, until: float) -> None:
        """Answer all waiting connections; ignore those that were closed."""
        packet = f"{VERSION}\0{until:.3f}\0".encode()
        for _, connection in self._waiting:
            try:
                connection.send(packet, socket.MSG_NOSIGNAL)
            except OSError:  # it was closed
                continue
            finally:
                connection.close()
        self._waiting = []
        self._last = time.monotonic()
