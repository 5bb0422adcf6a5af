"""The keeper: holds what must outlive a worker, starts the workers, and does nothing else.

It can be replaced: at SIGHUP by the installed release's keeper, and after it was killed by the
evidence worker (agent.supervisor.succession). Sockets and stored descriptors stay open in both
cases.
"""

from __future__ import annotations

import _socket
import posix
import resource
import select
import sys
import time
from _signal import SIGCHLD, SIGHUP, SIGINT, SIGTERM  # type: ignore[import-not-found]

from runc_wrap.agent import agent_paths, signals, sockets, systemd_protocol
from runc_wrap.agent.log import say
from runc_wrap.agent.stall_detection import Pulse, Watch
from runc_wrap.agent.supervisor import handoff, workers
from runc_wrap.agent.supervisor.acceptor import ARRIVALS, Acceptor
from runc_wrap.agent.supervisor.systemd_watchdog import Watchdog
from runc_wrap.agent.supervisor.upgrade_check import Trial
from runc_wrap.agent.supervisor.workers import Worker
from runc_wrap.agent.systemd_protocol import Named
from runc_wrap.agent.systemd_stored_names import ARRIVING, LINGERING, needed_to_linger, number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runc_wrap.agent.systemd_protocol import Message

BOUND = b"RUNC_WRAP_BOUND"  # the sockets that this agent has to remove
UPSTREAM = b"RUNC_WRAP_NOTIFY"  # in a worker's environment: the keeper's own NOTIFY_SOCKET
MOST_STORED = 512
_LONGEST_NAME = 64
_CALLS_WAIT = 1.0  # seconds at most that calls wait without an evidence worker
_GRACE = 2.0  # seconds for workers to end
MOST_ABANDONED = 4  # evidence workers that cannot even be killed
# glibc keeps the memory that a large config needed unless its thresholds are fixed (mallopt(3)). A
# usual request takes some 140 KB; returning that each time would cost it 0.05 ms.
_FRUGAL = {
    b"MALLOC_ARENA_MAX": b"1",
    b"MALLOC_TRIM_THRESHOLD_": b"524288",
    b"MALLOC_MMAP_THRESHOLD_": b"1048576",
}


def main(prefix: str) -> None:
    """Run the keeper until a signal ends it. Exits with 2 if the agent cannot start."""
    posix.umask(0o077)
    _raise_limit()
    given = systemd_protocol.received(posix.environ)
    before = sockets.from_text(posix.environ.get(BOUND, b"").decode())
    try:
        left, inherited = handoff.take(prefix, {each.name for each in given})
        before |= sockets.from_text(inherited)
        held, bound = sockets.take(prefix, [*given, *left])
    except (sockets.Unusable, handoff.Refused) as error:
        say(str(error))
        sys.exit(2)
    Keeper(prefix, held, before | bound).run()


class Keeper:
    """`held` are all descriptors by name; `bound` are the sockets that it bound."""

    def __init__(self, prefix: str, held: dict[str, int], bound: sockets.Bound) -> None:
        self.prefix = prefix
        self.held = held
        self.bound = bound
        self.upstream = posix.environ.get(b"NOTIFY_SOCKET", b"").decode("utf-8", "surrogateescape")
        self.taker, self.address, self._own = sockets.take_messages(prefix)
        self.alive, self._writer = posix.pipe2(posix.O_CLOEXEC)  # its closing shows that we ended
        self.decisions, self.evidence = self.workers = [
            Worker("decisions"),
            Worker("evidence", _CALLS_WAIT),
        ]
        self.pulse, self.abandoned = Pulse(), set[int]()
        self.watchdog = Watchdog(self.upstream, posix.environ)
        self.trial = Trial()
        self.signals = signals.Signals(*signals.ALL)
        self.poll = select.epoll()
        self.watch = Watch(self.poll, held["decide"])
        self.turned_away: _socket.socket | None = None
        self.acceptor, self._is_open = Acceptor(held), True
        for fd in (self.signals.fd, self.taker.fileno(), self.acceptor.fd):
            self.poll.register(fd, select.EPOLLIN)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        while True:
            self._end_stalled()
            self._end_stuck()
            self._start_due()
            self.watchdog.tell_due()
            for fd, _ in self.poll.poll(self._seconds()):
                if fd == self.signals.fd:
                    self._obey(self.signals.take())
                elif fd == self.taker.fileno():
                    self._listen()
                elif fd == self.acceptor.fd:
                    self.acceptor.admit()
                elif fd == self.watch.fd:
                    self.watch.begin()
                elif self.turned_away:
                    _turn_away(self.turned_away)
            self._toggle_acceptor()

    def _toggle_acceptor(self) -> None:
        """Wait for connections only while there is room."""
        if self._is_open != self.acceptor.has_room:
            self._is_open = not self._is_open
            self.poll.modify(self.acceptor.fd, select.EPOLLIN if self._is_open else 0)

    def _seconds(self) -> float | None:
        """Return how long to wait; None: until an event."""
        now = time.monotonic()
        due = [worker.due - now for worker in self.workers if not worker.pid]
        due += self.watch.seconds(is_ready=self.decisions.is_ready)
        due += [self.acceptor.shut_until - now] if self.acceptor.shut_until else []
        due += [self._until_look()] if self.evidence.pid else []
        due += self.watchdog.seconds()
        return max(min(due), 0.0) if due else None

    def _end_stalled(self) -> None:
        """Kill a decisions worker that hangs; until it has ended, launchers are turned away."""
        worker = self.decisions
        if self.watch.is_stalled(is_ready=worker.is_ready) and worker.pid and not self.turned_away:
            say("the decisions worker accepts no connections; it is killed.")
            worker.give_up()

    def _until_look(self) -> float:
        brought = [name for name in self.held if number_of(name) or number_of(name, ARRIVING)]
        return self.pulse.seconds(has_listeners=bool(brought))

    def _end_stuck(self) -> None:
        """Replace an evidence worker that hangs; the successor answers the call in which it hung.

        It is not waited for: it may be blocked so that even SIGKILL does not end it. The number of
        abandoned workers is bounded.
        """
        worker = self.evidence
        is_lost = worker.pid and self.pulse.is_lost(worker.pid, is_ready=worker.is_ready)
        if is_lost and len(self.abandoned) < MOST_ABANDONED:
            say("the evidence worker hangs; another takes its place.")
            self.abandoned.add(worker.pid)
            worker.give_up()
            worker.ended()

    def _start_due(self) -> None:
        waiting = [worker for worker in self.workers if not worker.pid]
        due = [worker for worker in waiting if worker.due <= time.monotonic()]
        if due:
            self._listen()  # descriptors stored by a killed worker go to its successor
            self._follow_upgrade()
        for worker in due:
            argv = agent_paths.command(self.prefix, worker.role)
            if worker is self.evidence:
                self.pulse.begin()
            worker.start(argv, self._handed(worker), self._environment())
        self._stand_in(missing=not self.decisions.pid or self.decisions.is_given_up)

    def _handed(self, worker: Worker) -> list[Named]:
        everything = [*self._kept(), Named("keeper", self.alive)]
        if worker is self.evidence:
            given = Named(ARRIVALS, self.acceptor.worker_end())
            return [*everything, given, Named("progress", self.pulse.memory)]
        chosen = [each for each in everything if each.name in ("decide", "keeper")]
        return [*chosen, Named("progress", self.watch.progress)]

    def _kept(self) -> list[Named]:
        return [Named(name, fd) for name, fd in self.held.items()]

    def _environment(self) -> dict[bytes, bytes]:
        variables = {
            b"NOTIFY_SOCKET": self.address,
            UPSTREAM: self.upstream,
            BOUND: sockets.as_text(self.bound),
        }
        return _FRUGAL | {key: _bytes(value) for key, value in variables.items()}

    def _stand_in(self, *, missing: bool) -> None:
        """Turn launchers away at once while there is no decisions worker."""
        if missing and not self.turned_away:
            self.turned_away = _socket.socket(fileno=posix.dup(self.held["decide"]))
            self.turned_away.settimeout(0)
            self.poll.register(self.turned_away.fileno(), select.EPOLLIN)
        elif self.turned_away and not missing:
            self.poll.unregister(self.turned_away.fileno())
            self.turned_away.close()
            self.turned_away = None

    def _obey(self, numbers: set[int]) -> None:
        tried = SIGCHLD in numbers and self._bury()
        if numbers & {SIGTERM, SIGINT}:
            self._end()
        if SIGHUP in numbers:
            self._try(agent_paths.command_anew(self.prefix, "keeper"))
        elif tried:
            self._begin_anew(self.trial.argv)

    def _bury(self) -> bool:
        """Note children that have ended; return whether one was a successful trial."""
        gone = workers.gone()
        self.abandoned -= gone.keys()
        for worker in self.workers:
            if worker.pid in gone:
                say(f"the {worker.role} worker ended; it is started again.")
                worker.ended()
        if self.trial.pid not in gone:
            return False
        went_well = gone[self.trial.pid]
        self.trial.pid = 0
        if not went_well:
            say("the installed release cannot be started as agent; the running one continues.")
        return went_well

    def _end(self) -> None:
        systemd_protocol.send(self.upstream, systemd_protocol.STOPPING)
        is_needed = self._is_needed()
        if is_needed:  # first: from now on creates do without the agent
            self.held[LINGERING] = handoff.listen(self.prefix)
        kept = ["notify"] if is_needed else []
        going = {name: own for name, own in self.bound.items() if name not in kept}
        sockets.remove(self.prefix, going)
        self.acceptor.admit()
        workers.stop(self.workers, _GRACE, self._listen)
        self.trial.end()
        sockets.remove(self.prefix, self._own)
        self._linger()
        sockets.remove(self.prefix, self.bound)
        if is_needed:
            handoff.remove(self.prefix)
        sys.exit(0)

    def _is_needed(self) -> bool:
        """Return whether containers' calls would fail, unless systemd keeps their listeners."""
        return bool(needed_to_linger(self.held)) and not posix.environ.get(b"FDSTORE")

    def _linger(self) -> None:
        """Keep running, as the draining process, for containers whose calls would fail."""
        if not self._is_needed():
            return
        needed = needed_to_linger(self.held)
        say(
            f"{sum(map(bool, map(number_of, needed)))} processes started in mode observe still "
            "send calls. These continue, unrecorded, until the last process has ended or an agent "
            "is started; another SIGTERM ends that."
        )
        signals.hold()
        kept = [each for each in self._kept() if each.name in needed]
        systemd_protocol.become(
            agent_paths.command(self.prefix, "lingering"), kept, self._inherited()
        )

    def _follow_upgrade(self) -> None:
        """Start a trial if another release with an agent is installed."""
        installed = agent_paths.command_anew(self.prefix, "keeper")
        if installed != agent_paths.command(self.prefix, "keeper") and self.trial.is_due():
            self._try(installed)

    def _try(self, argv: list[str]) -> None:
        """Have a trial process find out whether this can be the keeper, before anything stops."""
        self.trial.begin(argv, self._inherited())

    def _inherited(self) -> dict[bytes, bytes]:
        return {**posix.environ, BOUND: _bytes(sockets.as_text(self.bound))}

    def _begin_anew(self, argv: Sequence[str]) -> None:
        """Become the installed release's keeper; launchers wait in the queues meanwhile."""
        signals.hold()
        for worker in (self.evidence, self.decisions):  # in this order launchers wait least
            workers.stop([worker], _GRACE, self._listen)
        kept = self._kept()
        try:
            systemd_protocol.become(argv, kept, self._inherited())
        except OSError as error:
            say(f"{argv[0]}: {error.strerror}; the running release starts again.")
        own = agent_paths.command(self.prefix, "keeper")
        systemd_protocol.become(own, systemd_protocol.arranged(kept), self._inherited())

    def _listen(self) -> None:
        while message := systemd_protocol.receive(self.taker):
            sender = [worker for worker in self.workers if worker.latest == message.pid]
            if message.uid == posix.getuid() and sender:
                self._heed(message, sender[0])
            else:
                _close(message.fds)

    def _heed(self, message: Message, sender: Worker) -> None:
        if systemd_protocol.READY in message.lines:
            sender.is_ready = True
            if all(worker.is_ready for worker in self.workers):
                systemd_protocol.send(self.upstream, systemd_protocol.READY)
                say(f"ready: pid {posix.getpid()}, sockets in {self.prefix}/var/agent.")
        if systemd_protocol.CHANGED in message.lines:
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
            say("a descriptor was not stored: there are too many, or its name is invalid.")
            _close(fds)
            return
        self._drop(name)
        self.held[name] = fds[0]
        systemd_protocol.send(self.upstream, f"FDSTORE=1\nFDNAME={name}".encode(), fds)

    def _is_full(self) -> bool:
        return len(self.held) >= MOST_STORED + len(sockets.KINDS) + 1

    def _drop(self, name: str) -> None:
        if _is_storable(name) and name in self.held:
            posix.close(self.held.pop(name))
            if not number_of(name, ARRIVING):
                systemd_protocol.send(self.upstream, f"FDSTOREREMOVE=1\nFDNAME={name}".encode())


def _raise_limit() -> None:
    """Raise the limit of descriptors to the hard limit; workers inherit it."""
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
