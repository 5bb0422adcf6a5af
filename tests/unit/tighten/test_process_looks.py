"""Which processes are looked for, and for how long."""

import os
import subprocess
from itertools import count

from runc_wrap.tighten import process_tightening
from runc_wrap.tighten.process_tightening import FilterRequest


def test_processes_that_end_before_they_are_stopped_are_named_in_time() -> None:
    """A chain of them could go on for ever; each look finds another, and it has ended by then."""
    calls = count()

    def listed(_: bool) -> list[int]:
        return [] if next(calls) % 2 else [os.getpid()]

    (one,) = process_tightening.tighten_processes(listed, FilterRequest(b""), seconds=0.3)
    assert "run this again" in (one.reason or "")


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
