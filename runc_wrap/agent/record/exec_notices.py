"""Launchers' notices of each `exec`, which the service observe takes.

PREFIX/var/agent/exec.sock takes launchers' notices of each `exec`, a datagram for each:
"runc-wrap/1" and the words that the launcher was called with, each NUL-terminated, as many as fit
(launcher/ask.c). No launcher waits: a notice that does not fit into the queue
(net.unix.max_dgram_qlen) is dropped, and the joining process is then found only by its namespaces
and cgroup (cgroup_membership). The kernel states the time and the sender (unix(7), SO_PASSCRED);
only root of the first user namespace is uid 0 here. The words name the container. The joining
process may end before its cgroup could be read; the runtime that starts it lives longer, and all
its children are the container's. Words prove nothing by themselves: only those of root's launcher
count, never those in some process' memory.

The socket outlives this process: its successor goes on there.
"""

import os
import socket
import struct
from collections.abc import Iterator

from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.evidence.attribution.process_tree import ProcessTree
from runc_wrap.host import runtime_state
from runc_wrap.hotpath.ledger_file import Key

EXEC = "exec"  # of agent.service_lifecycle.KINDS
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
