"""Checks that sources deliver: a probe process, with one logged call, must show up in them.

Audit's multicast and the process connector exist in the first network namespace only. In another
one nothing fails: nothing just ever comes. So a probe (audit_probe_process) is started at
the beginning, every few minutes, and when an obstacle to records has changed. Any record or news
since then proves the source. A source that stays silent twice counts as blind until something
comes. Its time begins when the probe has ended: on a machine without a free CPU that comes late.
The probe keeps its pid until its record has come, within that time.
"""

import os
import sys
import time
from _signal import SIGKILL  # type: ignore[import-not-found]
from math import inf

from runc_wrap.agent.service_log import say, warn
from runc_wrap.evidence.attribution.proc_connector import SOURCE as PROCESSES
from runc_wrap.evidence.sightings import AUDIT, COARSE, Sighting
from runc_wrap.evidence.sources import source_status
from runc_wrap.host import procfs
from runc_wrap.profiles.return_codes import LOG

GETPRIORITY = (140, 96, 141)  # x86_64's number; i386's, 32-bit arm's and s390's; the generic one
_PROGRAM = f"{__file__.rpartition('/')[0]}/audit_probe_process.py"
PATIENCE = 3.0  # seconds for an ended probe to show up
SLOWEST = 60.0  # seconds for it to end; its own alarm is earlier
AGAIN = 120.0  # seconds from a failed check to the next
_TRIES = 2
_ELSEWHERE = "this is not the first network namespace, which alone has it (in a pod: hostNetwork)"
_FIRST_ALONE = "/proc/sys/net/core/netdev_max_backlog"  # linux:net/core/sysctl_net_core.c
_PIDS = "this is not the first pid namespace: calls cannot be attributed (in a pod: hostPID)"
_KEPT_BACK = "no record came of the agent's probe (try: auditctl -s, -l; in a pod: hostNetwork)"
_UNENDED = f"the agent's probe did not end within {SLOWEST:.0f} s (try: uptime)"
_UNTOLD = "no news came of the agent's probe process (in a pod: hostNetwork)"


class OwnProbe:
    """The probe, from its start until it is waited for: its pid is nobody else's meanwhile.

    A record is of its call if the kernel's own facts say so: pid, user, call, and a time within its
    life. A name proves nothing, for any process may take it.
    `pid` is 0 if there is none; `ended` is when a `look` found that it had ended, on the monotonic
    clock, infinite while it runs. It is a zombie from its end until `reap`, so that no other
    process has its pid.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.ended = 0.0
        self.is_seen = False  # its record has come
        self._former = 0  # the pid, also after `reap`
        self._begin = self._end = 0.0

    def start(self) -> None:
        """Start another one, without the former. Raises OSError."""
        self.kill()
        self._begin, self._end, self.is_seen = time.time(), inf, False
        words = [sys.executable, "-I", "-S", "-B", _PROGRAM]
        self.pid = self._former = os.posix_spawn(words[0], words, {}, setsigmask=[])
        self.ended = inf

    @property
    def is_running(self) -> bool:
        """Return whether it ran at the last `look`."""
        return self.ended == inf

    def made(self, one: Sighting) -> bool:
        """Return whether a record is of its call."""
        is_own = (
            one.source == AUDIT
            and one.code == LOG
            and one.number in GETPRIORITY
            and (one.pid, one.uid) == (self._former, 0)
            and self._begin - COARSE <= one.time <= self._end
        )
        self.is_seen |= is_own
        return is_own

    def look(self) -> None:
        """Note its end, without waiting for it."""
        if not self.is_running:
            return
        try:
            how = os.WEXITED | os.WNOHANG | os.WNOWAIT
            ended = os.waitid(os.P_PID, self.pid, how) is not None
        except ChildProcessError:  # it was waited for elsewhere
            self.pid, ended = 0, True
        if ended:
            self.ended, self._end = time.monotonic(), time.time()

    def reap(self) -> None:
        """Give up the pid of an ended one, once its record has come or is overdue.

        Not before no record of the pid's next owner can seem to be its.
        """
        has_come = self.is_seen and time.time() > self._end + COARSE
        if self.pid and (has_come or self.ended + PATIENCE <= time.monotonic()):
            os.waitpid(self.pid, 0)
            self.pid = 0

    def kill(self) -> None:
        """End it and give up its pid."""
        if self.pid:
            os.kill(self.pid, SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid, self.ended = 0, 0.0


class SourceCheck:
    """`begun`: {source that delivers: since when}; `blind`: {source that does not: why}.

    A source in neither has not been checked yet. `due` is when `turn` has something to do, on the
    monotonic clock.
    """

    def __init__(self, directory: str, absent: dict[str, str]) -> None:
        self._directory = directory
        self.begun: dict[str, float] = {}
        self.blind = {name: why for name, why in absent.items() if why}
        self._asked = [name for name in absent if name not in self.blind]
        self._opened = dict.fromkeys(self._asked, time.time())  # of those never blind since
        self._proven: dict[str, float] = {}
        self._probe = OwnProbe()
        self._latest = 0.0  # for the probe to end
        self._since = 0.0
        self._tries = 0
        self._due = 0.0
        self._until: float | None = None
        for name, why in self.blind.items():
            warn(source_status.sentences({name: why})[name])
        self._is_published = False

    def is_own(self, one: Sighting) -> bool:
        """Return whether a record is of the probe's call; any record proves the source."""
        self.saw(AUDIT, one.time)
        return self._probe.made(one)

    def saw(self, source: str, when: float) -> None:
        """Note that something came from a source."""
        self._proven[source] = max(when, self.last_proof(source))

    def last_proof(self, source: str) -> float:
        """Return when something last came from a source, 0.0 for never."""
        return self._proven.get(source, 0.0)

    @property
    def due(self) -> float:
        """When `turn` has something to do."""
        return min(self._due, self._probe.ended + PATIENCE if self._probe.pid else inf)

    @property
    def is_waiting(self) -> bool:
        """Return whether a probe was started and is waited for."""
        return self._until is not None

    @property
    def is_new(self) -> bool:
        """Return whether some source has not been checked yet."""
        return any(name not in self.begun and name not in self.blind for name in self._asked)

    def look(self) -> None:
        """Start a probe at the next turn."""
        self._due = 0.0

    def turn(self) -> bool:
        """Do what is due; return whether there is a new result."""
        now = time.monotonic()
        self._probe.look()
        self._probe.reap()
        if self._until is None:
            if self._due > now:
                return False
            if not self._asked:
                self._due = now + source_status.EVERY
                return self._publish()
            self._provoke(now)
            return False
        self._until = self._patient(now, self._until)
        missing = [name for name in self._asked if self.last_proof(name) < self._since]
        if missing and now < self._until:
            self._due = self._until
            return self._take(missing)
        self._until = None
        if missing and self._tries < _TRIES:
            self._due = now
            return self._take(missing)
        self._tries = 0
        self._due = now + (AGAIN if missing else source_status.EVERY)
        return self._take(missing, are_blind=True)

    def _patient(self, now: float, until: float) -> float:
        """Return until when the probe is waited for, which a running one moves."""
        if self._probe.is_running and now >= self._latest:
            return now
        return max(until, min(self._probe.ended, now) + PATIENCE)

    def _provoke(self, now: float) -> None:
        self._tries += 1
        self._since, self._until = time.time() - 0.05, now + PATIENCE
        self._latest = now + SLOWEST
        self._due = self._until
        try:
            self._probe.start()
        except OSError as error:
            warn(f"sources of evidence cannot be checked: {error.strerror}")

    def _take(self, missing: list[str], *, are_blind: bool = False) -> bool:
        """Take in the result for each source; return whether anything is new."""
        before = (dict(self.blind), set(self.begun))
        for name in self._asked:
            if name not in missing:
                self.begun.setdefault(name, self._opened.get(name, self._since))
                self.blind.pop(name, None)
            elif are_blind:
                self._opened.pop(name, None)
                self.begun.pop(name, None)
                self.blind[name] = self._why(name)
        for name, why in self.blind.items():
            if name not in before[0]:
                warn(source_status.sentences({name: why})[name])
        for name in before[0].keys() - self.blind.keys():
            say(f"{name}: records arrive again")
        if before != (self.blind, set(self.begun)):
            self._is_published = False
        return self._publish() if are_blind or not missing else False

    def _publish(self) -> bool:
        """Write the results for other programs; each time, as the file's age is the results'."""
        is_new, self._is_published = not self._is_published, True
        try:
            source_status.write(self._directory, dict.fromkeys(self.begun, "") | self.blind)
        except OSError as error:
            warn(f"the results of the sources' check cannot be written: {error.strerror}")
        return is_new

    def _why(self, name: str) -> str:
        if not os.path.exists(_FIRST_ALONE):
            return _ELSEWHERE
        if self._probe.is_running:
            return _UNENDED
        return _KEPT_BACK if name == AUDIT else _UNTOLD

    def close(self) -> None:
        """End the probe, and remove the results."""
        self._probe.kill()
        source_status.remove(self._directory)


def absent(audit: str, processes: str) -> dict[str, str]:
    """Return for each source why it cannot be opened, "" if it can."""
    if not audit and not procfs.is_initial("pid"):
        audit = _PIDS
    return {AUDIT: audit, PROCESSES: processes}
