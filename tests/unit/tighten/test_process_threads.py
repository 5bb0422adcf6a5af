"""What is asked of each thread, and that the kernel's answer counts, not the tracer's."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.filters.kernel import injection
from runc_wrap.filters.kernel.injection import AddedFilter
from runc_wrap.host import procfs
from runc_wrap.tighten import process_threads
from runc_wrap.tighten.filter_request import FilterRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

MAY_ADD = """
import ctypes, sys
assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def process() -> Iterator[tuple[int, int]]:
    """A process with no_new_privs, as pid and start time."""
    with subprocess.Popen([sys.executable, "-c", MAY_ADD], stdin=-1, stdout=-1) as started:
        assert started.stdout
        started.stdout.readline()
        yield started.pid, (procfs.born(started.pid) or (0,))[0]
        assert started.stdin
        started.stdin.close()


def test_a_thread_that_has_no_more_filters_than_before_is_counted(
    process: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def add_filter(*_: object, **words: Any) -> AddedFilter:
        asked.append(words)
        return AddedFilter(is_new=True, seconds=0.0)

    monkeypatch.setattr(injection, "add_filter", add_filter)
    outcome = process_threads.tighten(process, FilterRequest(b"", set_no_new_privs=True))
    assert outcome
    assert outcome.reason == "1 of its 1 threads did not get the filter"
    assert [(one["set_no_new_privs"], one["all_threads"]) for one in asked] == [(False, True)]
