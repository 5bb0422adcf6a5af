"""The intervals that the recorder reports as watched, and the order in which it reads."""

import errno
import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host.processes import short_directory
from runc_wrap.agent.observe.seccomp_unotify import Inflight
from runc_wrap.agent.record import exec_notices, pending_calls, watched_time
from runc_wrap.agent.record import recorder as recorder_module
from runc_wrap.agent.record.recorder import Recorder
from runc_wrap.agent.record.source_check import SourceCheck
from runc_wrap.evidence.attribution import ledger_containers, proc_connector
from runc_wrap.evidence.attribution.process_lifetimes import Life
from runc_wrap.evidence.sightings import AUDIT, OBSERVE, LossSpan, Sighting
from runc_wrap.evidence.sources import audit_netlink, audit_obstacles
from runc_wrap.evidence.sources.audit_netlink import Counted
from runc_wrap.evidence.store import call_counts, evidence_reader
from runc_wrap.evidence.store.evidence_memory import Evidence, Hole
from runc_wrap.host import procfs, runtime_state
from tests.unit.evidence.samples import START, line, observed, refused, sighting, write_ledger

KEY = ("/run/test", "c1")
ALL = "log errno"


class Silent:
    """Audit's socket without records."""

    def fileno(self) -> int:
        return -1


class Seeing(SourceCheck):
    """Each source has delivered something."""

    def __init__(self, directory: str, absent: dict[str, str]) -> None:
        super().__init__(directory, absent)
        self.begun = dict.fromkeys(self._asked, 1.0)

    def turn(self) -> bool:
        self._due = time.monotonic() + 600
        return False


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recorder_module, "Live", Silent)
    monkeypatch.setattr(recorder_module, "SourceCheck", Seeing)
    monkeypatch.setattr(proc_connector, "connector", refused)
    (tmp_path / "logged").write_text(ALL)
    monkeypatch.setattr(audit_obstacles, "_LOGGED", str(tmp_path / "logged"))
    monkeypatch.setattr(audit_obstacles, "_switched_off", list)
    monkeypatch.setattr(audit_netlink, "asked", lambda _kind: [])
    monkeypatch.setattr(watched_time, "_clock_offset", lambda: 0.0)  # nobody sets the clock
    return tmp_path / "logged"


@pytest.fixture
def connected(logged: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As `logged`, with a silent process connector."""
    ours, other = socket.socketpair()
    ours.setblocking(False)
    monkeypatch.setattr(proc_connector, "connector", lambda: ours)
    yield logged
    ours.close()
    other.close()


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of day, which a test moves."""
    now = [1_700_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def recorder(prefix: Path) -> Recorder:
    return Recorder(str(prefix), Inflight.new())


def stored(prefix: Path) -> Evidence:
    return evidence_reader.load(prefix / "var" / "evidence")


def test_the_logged_actions_are_checked_each_time_and_earlier_time_stays_unwatched(
    logged: Path, tmp_path: Path, wall: list[float]
) -> None:
    begun = wall[0]
    logged.write_text("errno")
    one = recorder(tmp_path)
    for actions in ("errno", ALL):
        logged.write_text(actions)
        wall[0] += 100
        one.write()
    found = stored(tmp_path).watched
    assert found[AUDIT] == [(begun + 100, begun + 200)]
    assert found[OBSERVE] == [(begun, begun + 200)]


@pytest.mark.usefixtures("logged")
@pytest.mark.parametrize("step", [3600.0, -3600.0], ids=["forward", "back"])
def test_the_time_by_which_the_clock_was_set_is_not_watched(
    tmp_path: Path, wall: list[float], monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    begun, set_at, now = wall[0], wall[0] + 300.0 + step, [0.0]
    monkeypatch.setattr(watched_time, "_clock_offset", lambda: now[0])
    one = recorder(tmp_path)
    for passed, now[0] in ((100, 0.0), (100, 0.3), (100 + step, step), (100, step)):
        wall[0] += passed
        one.write()
    found = stored(tmp_path).watched
    expected = sorted([(begun, begun + 200), (set_at, set_at + 100)])
    assert (found[AUDIT], found[OBSERVE]) == (expected, expected)


@pytest.mark.usefixtures("logged")
@pytest.mark.parametrize("answer", [None, [(1013, b"rule")]])
def test_an_audit_rule_that_excludes_records_keeps_audit_unwatched_from_then_on(
    tmp_path: Path,
    wall: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    answer: list[tuple[int, bytes]] | None,
) -> None:
    one = recorder(tmp_path)
    monkeypatch.setattr(audit_netlink, "asked", lambda _kind: answer)
    monkeypatch.setattr(audit_obstacles, "excludes", lambda _rule: "an audit rule excludes them")
    for _ in range(3):
        wall[0] += 100
        one.write()
    watched = set(stored(tmp_path).watched) & {AUDIT, OBSERVE}
    assert watched == ({OBSERVE} if answer else {AUDIT, OBSERVE})
    assert capfd.readouterr().err.count("an audit rule excludes them") == bool(answer)


@pytest.mark.usefixtures("logged")
def test_records_that_the_kernel_dropped_are_lost(
    tmp_path: Path, wall: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(5, 5, 0), (5, 8, 3), (5, None, 0), (None, 8, 0), (9, 2, 0)]
    for at, (*said, lost) in enumerate(rows):
        monkeypatch.setattr(audit_netlink, "kernel_lost", iter(said).__next__)
        one, begun = recorder(tmp_path / str(at)), wall[0]
        wall[0] += 60
        one.write()
        found = [*stored(tmp_path / str(at)).lost.values()]
        assert found == ([[Hole(lost, begun, wall[0])]] if lost else [])  # while one ran: gone


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.usefixtures("connected")
def test_the_start_of_watching_is_soon_written_if_containers_already_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    born = procfs.born(os.getpid())
    assert born is not None
    first = (os.getpid(), born[0]) if is_there else None
    monkeypatch.setattr(runtime_state, "first_process", lambda _: first)
    monkeypatch.setattr(ledger_containers.Known, "newest", lambda _: iter([KEY]))
    one = recorder(tmp_path)
    assert one.tree.has_containers == is_there
    one.write_due()
    assert (one.due() - time.monotonic() <= recorder_module.WRITE_AFTER) == is_there


class Teller(Silent):
    """Audit's socket with pending records."""

    def __init__(self) -> None:
        self.records: list[Sighting | LossSpan] = []

    def counts(self, _: int) -> list[Counted | LossSpan]:
        found, self.records = self.records, []
        return [one if isinstance(one, LossSpan) else Counted(one, 1, one.serial) for one in found]


@pytest.fixture
def told(logged: Path) -> Recorder:
    """A recorder whose tree learns in two turns that process 7 is container c1's."""
    one = recorder(logged.parent)
    one.live = Teller()  # type: ignore[assignment]  # it has what is asked for
    turns = [False, True]
    one.tree.news.is_dry = False

    def read(most: int = 0) -> list[LossSpan]:  # noqa: ARG001 - as the tree calls it
        one.tree.news.is_dry = turns.pop(0) if turns else True
        if one.tree.news.is_dry:
            one.tree.lives.begin(7, Life(0.0, KEY))
        return []

    one.tree.read = read  # type: ignore[method-assign]
    one.tree.container_of = lambda pid, when: next(iter(one.tree.lives.of(pid, when)), None)  # type: ignore[method-assign]
    return one


def hear(one: Recorder, *records: Sighting | LossSpan) -> None:
    one.live.records = list(records)  # type: ignore[union-attr]
    one._read_audit()  # noqa: SLF001 - what `read` calls


def counts(prefix: Path) -> tuple[int, int]:
    found = stored(prefix)
    whose = sum(len(one.calls) for one in found.containers.values())
    return whose, len(found.unattributed.calls)


def test_process_events_are_not_delayed_while_a_record_waits(told: Recorder) -> None:
    told.tree.news.is_dry = True
    found = [told.may_wait]
    told.tree.news.is_dry = False
    hear(told, sighting(pid=7, time=time.time()))
    told.tree.news.is_dry = True
    found.append(told.may_wait)
    told._read_tree()  # noqa: SLF001 - as above
    assert [*found, told.may_wait] == [True, False, True]


def _not_told(_: str) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.usefixtures("logged")
def test_process_events_are_not_delayed_without_inotify_on_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert recorder(tmp_path).may_wait
    monkeypatch.setattr(recorder_module, "Appended", _not_told)
    assert not recorder(tmp_path).may_wait
    assert "new ledger lines cannot be watched" in capfd.readouterr().err


@pytest.mark.usefixtures("logged")
def test_a_ledger_line_is_read_before_any_process_event(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    told, _ = one.reads
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    write_ledger(tmp_path / "var" / "ledger", line("c1", mode="audit", pid=2**22 + 1, time=now))
    assert select.select([told], [], [], 0)[0]
    one.reads[told]()
    assert not one.may_wait


@pytest.mark.parametrize("lost", [[], [LossSpan(START, 1, AUDIT, "too fast")]])
def test_a_record_that_waits_at_a_flush_is_attributed_after_the_process_events(
    told: Recorder, tmp_path: Path, lost: list[LossSpan]
) -> None:
    hear(told, sighting(pid=7, time=time.time()), *lost)
    told._due = 0.0  # noqa: SLF001 - the time to write has come
    told.write_due()
    assert told._is_written(None)  # noqa: SLF001 - it does not wait itself
    assert counts(tmp_path) == (1, 0)


def test_calls_are_answered_between_process_events_and_during_a_scan_of_all_processes(
    told: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a call recorded meanwhile does not start a nested read of events."""
    news = 5
    within: list[bool] = []

    def read(_most: int) -> list[LossSpan]:
        nonlocal news
        news -= 1
        told.tree.news.is_dry = news == 0
        if news == 2:
            told.tree.scan()
        return []

    def answer() -> None:
        before = news
        told.record(KEY, sighting(exe="/usr/sbin/runc"))
        within.append(news == before)

    monkeypatch.setattr(told.tree, "read", read)
    monkeypatch.setattr(told._calls._runtimes, "may_be", lambda _exe: True)  # noqa: SLF001 - waits for news
    told._meanwhile = told.tree.places.meanwhile = answer  # noqa: SLF001 - as the service gives it
    told._read_all()  # noqa: SLF001 - as when it writes
    processes_there = len([*Path("/proc").glob("[0-9]*")])
    assert within.count(True) >= processes_there // 2


def test_a_record_before_a_loss_is_counted_before_it(
    told: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the time from that record on would seem to be covered up to after the loss."""
    monkeypatch.setattr(told.tree, "read", lambda _: [])  # more news than can be read at once
    waiting: list[int] = []
    monkeypatch.setattr(told, "lost", lambda _: waiting.append(len(told._calls.records)))  # noqa: SLF001 - what waits
    hear(told, sighting(pid=7, time=time.time()), LossSpan(time.time(), 1, AUDIT, "too fast"))
    assert waiting == [0]


def test_its_end_awaits_the_first_check(told: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a blind source would count as watched until then."""
    states = iter([True, True, False])
    checked: list[bool] = []
    monkeypatch.setattr(Seeing, "is_new", property(lambda _: next(states, False)))
    monkeypatch.setattr(told, "_look", lambda: checked.append(True))
    monkeypatch.setattr(told, "write", lambda: checked.append(False))
    told.finish()
    assert checked == [True, True, False]


def test_at_the_end_all_pending_events_are_read(told: Recorder, tmp_path: Path) -> None:
    told.tree.lives.begin(8, Life(0.0, KEY))
    told.tree.lives.end(8, 5.0)
    hear(told, sighting(pid=7, time=time.time()))
    told.finish()
    assert counts(tmp_path) == (1, 0)
    (seen,) = stored(tmp_path).containers.values()
    assert seen.ended == 5.0


RUNTIME = 2**22 + 1


@pytest.fixture
def joined(connected: Path) -> Iterator[Recorder]:
    """A recorder that already knows that we join container c1."""
    write_ledger(connected.parent / "var" / "ledger", line("c1", root="/run/test"))
    words = (exec_notices.VERSION, *"runc-wrap --root /run/test exec c1 true".split(), "")
    with short_directory("told") as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(place / "exec.sock"))
        one = Recorder(str(connected.parent), Inflight.new(), told.fileno())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto("\0".join(words).encode(), str(place / "exec.sock"))
        ready = select.select([*one.reads], [], [], 0)[0]
        yield one
        assert ready
        one.finish()
        assert one.executions
        one.executions.socket.close()


def test_a_process_joins_a_container_from_its_notice_on(joined: Recorder, tmp_path: Path) -> None:
    (told,) = select.select([*joined.reads], [], [], 0)[0]
    joined.reads[told]()
    assert joined.tree.container_of(os.getpid(), time.time()) == KEY
    assert joined.tree.made_by(sighting(pid=os.getpid(), time=time.time())) == "runtime"
    joined.live = Teller()  # type: ignore[assignment]  # as above
    for exe in ("/usr/sbin/runc", "/usr/bin/unshare"):
        hear(joined, sighting(pid=os.getpid(), time=time.time(), exe=exe))
    joined.write()
    seen = stored(tmp_path).containers[KEY]
    assert [call.exe for call in seen.calls] == ["/usr/bin/unshare"]
    assert [call.exe for call in seen.part(call_counts.RUNTIME).calls] == ["/usr/sbin/runc"]


def test_an_observed_call_of_a_runtime_counts_separately(joined: Recorder, tmp_path: Path) -> None:
    for exe in ("/usr/bin/crun", "/bin/sh"):
        joined.record(KEY, observed(272, 0, pid=os.getpid(), time=time.time(), exe=exe))
    joined.write()
    seen = stored(tmp_path).containers[KEY]
    assert [call.exe for call in seen.calls] == ["/bin/sh"]
    assert [call.exe for call in seen.part(call_counts.RUNTIME).calls] == ["/usr/bin/crun"]


def test_a_program_named_as_a_runtime_is_the_containers(joined: Recorder, tmp_path: Path) -> None:
    joined.tree.lives.begin(RUNTIME, Life(0.0, KEY))
    many = pending_calls._MOST_DOUBTFUL + 5  # noqa: SLF001 - the bound
    for _ in range(many):
        joined.record(KEY, observed(272, 0, pid=RUNTIME, time=time.time(), exe="/usr/bin/runc"))
    joined.write()
    seen = stored(tmp_path).containers[KEY]
    assert [tally.count for tally in seen.calls.values()] == [many]
