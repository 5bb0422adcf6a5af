"""Which processes are looked for, and for how long."""

import os
import subprocess

import pytest

from runc_wrap.filters.kernel.filter_injection import FilterRequest
from runc_wrap.filters.kernel.ptrace import Status
from runc_wrap.tighten import process_tightening
from runc_wrap.tighten.process_tightening import Members, ProcessOutcome, SeccompState

ENDED = 1 << 30  # more than any pid


def seen(**fields: object) -> Status:
    had = {"mode": 2, "count": 1, "threads": 1, "tracer": 0, "state": b"S", "may_add": True}
    return Status(**{**had, "no_new_privs": True, "blocked": 0, "pending": 0, **fields})  # type: ignore[arg-type]


def outcome(**fields: object) -> ProcessOutcome:
    had = SeccompState(2, 1)
    return ProcessOutcome(1, 1, 1, had, had, 0.0, None)._replace(**fields)  # type: ignore[arg-type]


def test_processes_that_end_before_they_are_stopped_are_named_in_time() -> None:
    """A chain of them could go on for ever; each look finds another, and it has ended by then."""
    members = Members(lambda: [ENDED], tuple)
    (one,) = process_tightening.tighten_processes(members, FilterRequest(b""), {}, 0.3).values()
    assert "run this again" in ((one and one.reason) or "")


def test_who_may_not_stop_is_the_last_to_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    first = os.getppid()
    monkeypatch.setattr(
        process_tightening, "_status", lambda pid: seen(state=b"D" if pid == first else b"S")
    )
    members = Members(lambda: [first, os.getpid()], tuple)
    news, _ = process_tightening._news(members, (), is_inside=True)  # noqa: SLF001
    assert [pid for (pid, _), _ in news] == [os.getpid(), first]


def test_a_process_that_ended_before_it_was_asked_may_have_made_another() -> None:
    with subprocess.Popen(["/bin/sleep", "10"]) as made:
        looks = iter([[ENDED], [ENDED]])
        members = Members(lambda: next(looks, [made.pid]), tuple)
        ((one, _),) = process_tightening.tighten_processes(members, FilterRequest(b""), {})
        made.terminate()
    assert one == made.pid


@pytest.mark.parametrize(
    ("before", "after", "is_known"),
    [
        (seen(), outcome(), True),
        (seen(count=0), outcome(), False),
        (seen(threads=2), outcome(), False),
        (seen(), outcome(after=SeccompState(2, 2)), False),
        (seen(), None, False),
    ],
)
def test_only_one_thread_that_had_all_filters_when_it_was_seen_is_sure_to_have_made_none_without(
    before: Status, after: ProcessOutcome | None, *, is_known: bool
) -> None:
    assert process_tightening._had(before, after) is is_known  # noqa: SLF001


def test_who_has_the_filter_by_an_earlier_look_is_not_looked_at_again() -> None:
    with subprocess.Popen(["/bin/sleep", "10"]) as process:
        members = Members(lambda: [process.pid], tuple)
        request = FilterRequest(b"")  # an empty filter, which the kernel refuses
        first = process_tightening.tighten_processes(members, request, {})
        done = {one: failed and failed._replace(reason=None) for one, failed in first.items()}
        assert done != first
        for before in (done, first):
            assert process_tightening.tighten_processes(members, request, before) == before
        process.terminate()
