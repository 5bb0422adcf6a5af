"""The keeper: holds what must outlive a worker, starts the workers, and does nothing else.

It can be replaced in its place: at SIGHUP by the installed release's keeper, and once it was killed
by the evidence worker (agent.succession). Sockets and stored descriptors stay open over both.
"""

from __future__ import annotations

import _socket
import posix
import resource
import select
import sys
import time
from _signal import SIGCHLD, SIGHUP, SIGINT, SIGTERM  # type: ignore[import-not-found]

from runc_wrap.agent import handing, inheriting, placing, signals, sockets, workers
from runc_wrap.agent.door import ARRIVALS, Door
from runc_wrap.agent.handing import Named
from runc_wrap.agent.saying import complain
from runc_wrap.agent.stored import ARRIVING, LINGERING, needed_to_linger, number_of
from runc_wrap.agent.workers import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.agent.handing import Message

BOUND = b"RUNC_WRAP_BOUND"  # names of the sockets that are ours to remove
UPSTREAM = b"RUNC_WRAP_NOTIFY"  # in a worker's environment: the keeper's own NOTIFY_SOCKET
MOST_STORED = 512
_LONGEST_NAME = 64
_CALLS_WAIT = 1.0  # seconds at most for calls that nobody answers
_GRACE = 2.0  # seconds for workers to end
# glibc keeps what it once needed for a large config unless its thresholds are fixed (mallopt(3))
_FRUGAL = {
    b"MALLOC_ARENA_MAX": b"1",
    b"MALLOC_TRIM_THRESHOLD_": b"131072",
    b"MALLOC_MMAP_THRESHOLD_": b"1048576",
}


def main(prefix: str) -> None:
    """Be the keeper, until a signal ends it. Exits with 2 if the agent cannot start."""
    posix.umask(0o077)
    _raise_limit()
    given = handing.received(posix.environ)
    before = posix.environ.get(BOUND, b"").decode().split()
    try:
        left, inherited = inheriting.take(prefix, {each.name for each in given})
        before += inherited
        held, bound = sockets.take(prefix, [*given, *left])
    except (sockets.Unusable, inheriting.Refused) as error:
        complain(str(error))
        sys.exit(2)
    Keeper(prefix, held, [*before, *bound]).run()


class Keeper:
    """`held` is every descriptor by its name; `bound` the names of the sockets bound by us."""

    def __init__(self, prefix: str, held: dict[str, int], bound: list[str]) -> None:
        self.prefix = prefix
        self.held = held
        self.bound = bound
        self.upstream = posix.environ.get(b"NOTIFY_SOCKET", b"").decode("utf-8", "surrogateescape")
        self.address = sockets.path(prefix, "keeper")
        sockets.remove(prefix, ["keeper"])
        self.taker = handing.listen(self.address)
        self.alive, self._writer = posix.pipe2(posix.O_CLOEXEC)  # its end is how ours is seen
        self.decisions, self.evidence = self.workers = [
            Worker("decisions"),
            Worker("evidence", _CALLS_WAIT),
        ]
        self.signals = signals.Signals(*signals.ALL)
        self.poll = select.epoll()
        self.turned_away: _socket.socket | None = None
        self.door, self._is_open = Door(held), True
        for fd in (self.signals.fd, self.taker.fileno(), self.door.fd):
            self.poll.register(fd, select.EPOLLIN)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        while True:
            self._start_due()
            for fd, _ in self.poll.poll(self._seconds()):
                if fd == self.signals.fd:
                    self._obey(self.signals.take())
                elif fd == self.taker.fileno():
                    self._listen()
                elif fd == self.door.fd:
                    self.door.admit()
                elif self.turned_away:
                    _turn_away(self.turned_away)
            self._mind_door()

    def _mind_door(self) -> None:
        """Look at who waits only while there is room."""
        if self._is_open != self.door.has_room:
            self._is_open = not self._is_open
            self.poll.modify(self.door.fd, select.EPOLLIN if self._is_open else 0)

    def _seconds(self) -> float | None:
        """Return how long there is nothing to do; None: until something happens."""
        due = [worker.due for worker in self.workers if not worker.pid]
        due += [self.door.shut_until] if self.door.shut_until else []
        return max(min(due) - time.monotonic(), 0.0) if due else None

    def _start_due(self) -> None:
        waiting = [worker for worker in self.workers if not worker.pid]
        due = [worker for worker in waiting if worker.due <= time.monotonic()]
        if due:
            self._listen()  # what one that was killed has stored is handed to its successor
            self._follow_upgrade()
        for worker in due:
            argv = placing.command(self.prefix, worker.role)
            worker.start(argv, self._handed(worker), self._environment())
        self._stand_in(missing=not self.decisions.pid)

    def _handed(self, worker: Worker) -> list[Named]:
        everything = [*self._kept(), Named("keeper", self.alive)]
        if worker is self.evidence:
            return [*everything, Named(ARRIVALS, self.door.worker_end())]
        return [each for each in everything if each.name in ("decide", "keeper")]

    def _kept(self) -> list[Named]:
        return [Named(name, fd) for name, fd in self.held.items()]

    def _environment(self) -> dict[bytes, bytes]:
        told = {
            b"NOTIFY_SOCKET": self.address,
            UPSTREAM: self.upstream,
            BOUND: " ".join(self.bound),
        }
        return _FRUGAL | {key: _bytes(value) for key, value in told.items()}

    def _stand_in(self, *, missing: bool) -> None:
        """While nobody decides, launchers must learn so at once instead of waiting."""
        if missing and not self.turned_away:
            self.turned_away = _socket.socket(fileno=posix.dup(self.held["decide"]))
            self.turned_away.settimeout(0)
            self.poll.register(self.turned_away.fileno(), select.EPOLLIN)
        elif self.turned_away and not missing:
            self.poll.unregister(self.turned_away.fileno())
            self.turned_away.close()
            self.turned_away = None

    def _obey(self, numbers: set[int]) -> None:
        if SIGCHLD in numbers:
            for worker in workers.gone(self.workers):
                complain(f"the {worker.role} worker ended; it is started again.")
                worker.ended()
        if numbers & {SIGTERM, SIGINT}:
            self._end()
        if SIGHUP in numbers:
            self._begin_anew()

    def _end(self) -> None:
        handing.send(self.upstream, handing.STOPPING)
        is_needed = self._is_needed()
        if is_needed:  # first: from now on creates do without, and those beneath go on
            self.held[LINGERING] = inheriting.listen(self.prefix)
        kept = ["notify"] if is_needed else []
        sockets.remove(self.prefix, [name for name in self.bound if name not in kept])
        self.door.admit()
        workers.stop(self.workers, _GRACE, self._listen)
        sockets.remove(self.prefix, ["keeper"])
        self._linger()
        sockets.remove(self.prefix, [*self.bound, *([LINGERING] if is_needed else [])])
        sys.exit(0)

    def _is_needed(self) -> bool:
        """Tell whether containers' calls would fail; systemd may keep their listeners."""
        return bool(needed_to_linger(self.held)) and not posix.environ.get(b"FDSTORE")

    def _linger(self) -> None:
        """Go on for containers whose calls would fail."""
        if not self._is_needed():
            return
        needed = needed_to_linger(self.held)
        complain(
            f"{sum(map(bool, map(number_of, needed)))} processes started in mode observe still "
            "send calls. These are let continue, unrecorded, until the last has ended or an agent "
            "is started; SIGTERM again ends that."
        )
        signals.hold()
        kept = [each for each in self._kept() if each.name in needed]
        told = {**posix.environ, BOUND: _bytes(" ".join(self.bound))}
        handing.become(placing.command(self.prefix, "lingering"), kept, told)

    def _follow_upgrade(self) -> None:
        """Begin anew if another release is installed, and has an agent."""
        if placing.command_anew(self.prefix, "keeper") != placing.command(self.prefix, "keeper"):
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Become the installed release's keeper; launchers wait in the sockets meanwhile."""
        argv = placing.command_anew(self.prefix, "keeper")
        if not all(posix.access(path, posix.R_OK) for path in (argv[0], argv[-3])):
            complain("its own program is gone and no other is installed; it goes on as it is.")
            return
        signals.hold()
        for worker in (self.evidence, self.decisions):  # launchers wait for what comes last
            workers.stop([worker], _GRACE, self._listen)
        environment = {**posix.environ, BOUND: _bytes(" ".join(self.bound))}
        handing.become(argv, self._kept(), environment)

    def _listen(self) -> None:
        while message := handing.receive(self.taker):
            sender = [worker for worker in self.workers if worker.latest == message.pid]
            if message.uid == posix.getuid() and sender:
                self._heed(message, sender[0])
            else:
                _close(message.fds)

    def _heed(self, message: Message, sender: Worker) -> None:
        if handing.READY in message.lines:
            sender.is_ready = True
            if all(worker.is_ready for worker in self.workers):
                handing.send(self.upstream, handing.READY)
        if handing.CHANGED in message.lines:
            self._follow_upgrade()
        if sender is self.evidence and b"FDSTORE=1" in message.lines:
            self._store(message.value(b"FDNAME"), message.fds)
        elif sender is self.evidence and b"FDSTOREREMOVE=1" in message.lines:
            self._drop(message.value(b"FDNAME"))
            _close(message.fds)
        else:
            _close(message.fds)

    def _store(self, name: str, fds: list[int]) -> None:
        known = name in self.held
        if len(fds) != 1 or not _is_storable(name) or (not known and self._is_full()):
            complain("a descriptor was not stored: too many, or a name that none can have.")
            _close(fds)
            return
        self._drop(name)
        self.held[name] = fds[0]
        handing.send(self.upstream, f"FDSTORE=1\nFDNAME={name}".encode(), fds)

    def _is_full(self) -> bool:
        return len(self.held) >= MOST_STORED + len(sockets.KINDS) + 1

    def _drop(self, name: str) -> None:
        if _is_storable(name) and name in self.held:
            posix.close(self.held.pop(name))
            if not number_of(name, ARRIVING):
                handing.send(self.upstream, f"FDSTOREREMOVE=1\nFDNAME={name}".encode())


def _raise_limit() -> None:
    """Take as many descriptors as there may be; workers inherit that."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _is_storable(name: str) -> bool:
    return (
        name not in (*sockets.KINDS, sockets.LOCK, "keeper")
        and 0 < len(name) <= _LONGEST_NAME
        and name.isascii()
        and all(character.isalnum() or character in "-._" for character in name)
    )


def _close(fds: list[int]) -> None:
    for fd in fds:
        posix.close(fd)


def _turn_away(listening: _socket.socket) -> None:
    try:
        posix.close(listening._accept()[0])  # type: ignore[attr-defined]  # noqa: SLF001 - accept() makes an object of socket's
    except OSError:
        return


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
