"""Which processes are looked for, and for how long."""

import os
import subprocess
from itertools import count

import pytest

from runc_wrap.filters.kernel.filter_injection import FilterRequest
from runc_wrap.host import procfs
from runc_wrap.tighten import process_tightening


def test_processes_that_end_before_they_are_stopped_are_named_in_time() -> None:
    """A chain of them could go on for ever; each look finds another, and it has ended by then."""
    calls = count()

    def listed(_: bool) -> list[int]:
        return [] if next(calls) % 2 else [os.getpid()]

    (one,) = process_tightening.tighten_processes(listed, FilterRequest(b""), seconds=0.3)
    assert "run this again" in (one.reason or "")


def test_who_may_not_stop_is_the_last_to_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "born", lambda pid: (pid, 1))
    monkeypatch.setattr(process_tightening, "_may_not_stop", lambda pid: pid == 1)
    found = process_tightening._new(lambda _: [1, 2, 3], False, ())  # noqa: SLF001
    assert [pid for pid, _ in found] == [2, 3, 1]


def test_a_process_that_ended_before_it_was_asked_may_have_made_another() -> None:
    with subprocess.Popen(["/bin/true"]) as ended:
        pass
    with subprocess.Popen(["/bin/sleep", "10"]) as made:
        looks = iter([[ended.pid], [ended.pid]])
        (one,) = process_tightening.tighten_processes(
            lambda is_whole: [] if is_whole else next(looks, [made.pid]), FilterRequest(b"")
        )
        made.terminate()
    assert one.pid == made.pid
