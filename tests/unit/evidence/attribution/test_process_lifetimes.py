"""A process' container at a moment, at the borders of its life, and whether it is the runtime's."""

from pathlib import Path

import pytest

from runc_wrap.evidence.attribution import process_lifetimes
from runc_wrap.evidence.attribution.process_lifetimes import ALWAYS, Family, Life, Lives, Runtimes
from runc_wrap.evidence.sightings import COARSE
from runc_wrap.evidence.store.call_counts import EITHER, PROGRAM, RUNTIME

KEY, OTHER = ("/run/test", "c1"), ("/run/test", "c2")


def test_a_record_at_the_end_of_a_process_is_its_containers() -> None:
    lives = Lives()
    lives.begin(7, Life(10.0, KEY))
    lives.end(7, 20.0)
    lives.begin(7, Life(30.0, OTHER))
    assert [lives.of(7, when) for when in (9.9, 20.5)] == [set(), set()]
    late = 20.0005  # a record is stamped a little after the end that the kernel tells
    assert [lives.of(7, when) for when in (10.0, 15.0, 20.0, late)] == [{KEY}] * 4
    assert lives.of(7, 30.0) == {OTHER}


EXEC, SEEN = 20.0, 10.5  # when it executed a program, and when it was seen to be the runtime
BEFORE = EXEC - COARSE - 0.01


def test_a_call_is_the_runtimes_only_if_surely_before_the_exec_of_what_was_seen_to_be_it() -> None:
    for program, looked, when, has_told, made_by in (
        (EXEC, SEEN, EXEC + 0.01, True, PROGRAM),
        (EXEC, SEEN, EXEC, True, EITHER),
        (EXEC, SEEN, EXEC - COARSE / 2, True, EITHER),  # a record's time may be so early
        (EXEC, SEEN, BEFORE, True, RUNTIME),
        (EXEC, None, BEFORE, True, EITHER),  # what made it was not seen
        (None, SEEN, 15.0, True, RUNTIME),
        (None, SEEN, 15.0, False, EITHER),  # it may have executed a program meanwhile
        (None, None, 15.0, True, EITHER),
        (0.0, None, 15.0, True, PROGRAM),
        (ALWAYS, SEEN, 15.0, True, RUNTIME),
        (ALWAYS, None, 15.0, True, EITHER),
    ):
        life = Life(10.0, KEY, program, None, looked)
        assert life.made_by(when, COARSE, has_told=has_told) == made_by, (program, looked, when)


def test_what_was_seen_after_the_exec_proves_nothing() -> None:
    for executed, looked in ((SEEN + 0.1, SEEN), (SEEN - 0.1, None)):
        life = Life(10.0, KEY, None, None, SEEN).executed(executed)
        assert (life.program, life.looked) == (executed, looked)


def test_a_program_may_be_a_runtime_by_its_file_name(tmp_path: Path) -> None:
    (tmp_path / "really").write_text("")
    (tmp_path / "special-runc").symlink_to("really")
    links = tmp_path / "lib" / "runtime"
    links.mkdir(parents=True)
    (links / "runc").symlink_to(tmp_path / "special-runc")
    runtimes = Runtimes(str(tmp_path))
    for exe in (
        "/usr/sbin/runc",
        "/usr/bin/crun (deleted)",  # it was upgraded
        "/memfd:runc_cloned:/proc/self/exe (deleted)",
        "/runc",  # its own copy, in a mount of its own
        "/",  # likewise, of the file alone
        "/opt/engine/special-runc",
        "/opt/engine/really",
    ):
        assert runtimes.may_be(exe), exe
    for exe in ("/usr/bin/runc2", "/runc/sh", "/bin/sh", ""):
        assert not runtimes.may_be(exe), exe


PID, CHILD, FILE, COPY, FOREIGN = 1, 2, (8, 10), (1, 11), (9, 12)


def test_a_runtimes_child_runs_its_file_and_adds_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    now: dict[int, tuple[tuple[int, int] | None, int | None]] = {PID: (FILE, 1)}
    monkeypatch.setattr(process_lifetimes, "_file", lambda pid: now[pid][0])
    monkeypatch.setattr(process_lifetimes, "_filters", lambda pid: now[pid][1])
    family = Family(PID)
    now[CHILD] = (COPY, 1)
    family.executed(CHILD)
    now[CHILD] = (FOREIGN, 2)
    family.executed(CHILD)  # the container's program
    for now[CHILD], has in (
        ((FILE, 1), True),
        ((COPY, 1), True),  # which the runtime executed itself
        ((FOREIGN, 1), False),
        ((None, 1), False),  # it has ended
        ((FILE, 2), False),  # it has the container's filter: a program of the container made it
        ((FILE, None), False),
    ):
        assert (family.looked(CHILD) is not None) is has
