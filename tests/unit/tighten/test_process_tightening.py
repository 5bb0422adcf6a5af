"""What is asked of each thread, and that the kernel's answer counts, not the tracer's."""

import errno
import subprocess
import sys
from collections.abc import Iterator

import pytest

from runc_wrap.filters.kernel import filter_injection, ptrace
from runc_wrap.filters.kernel.filter_injection import FilterRequest
from runc_wrap.filters.kernel.ptrace import FiltersUnreadableError
from runc_wrap.host import procfs
from runc_wrap.tighten import process_tightening
from runc_wrap.tighten.process_tightening import ProcessOutcome

MAY_ADD = """
import ctypes, struct, sys
kernel = ctypes.CDLL(None)
assert kernel.prctl(38, 1, 0, 0, 0) == 0
lines = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000), 8)
allowing = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(lines)), 16)
assert kernel.prctl(22, 2, allowing, 0, 0) == 0
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def process() -> Iterator[tuple[int, int]]:
    """A process with no_new_privs and a filter, as pid and start time."""
    with subprocess.Popen([sys.executable, "-c", MAY_ADD], stdin=-1, stdout=-1) as started:
        assert started.stdout
        started.stdout.readline()
        yield started.pid, (procfs.born(started.pid) or (0,))[0]
        assert started.stdin
        started.stdin.close()


def tightened(process: tuple[int, int], request: FilterRequest) -> ProcessOutcome:
    """Return what came of a process, which is named before each of its threads has to stop."""

    def made() -> Iterator[object]:
        yield (yield from process_tightening.tighten_process(process, request))

    *begun, outcome = made()
    assert set(begun) == {process}
    assert isinstance(outcome, ProcessOutcome)
    return outcome


def test_a_thread_whose_number_another_ones_exec_takes_each_time_is_not_counted_as_done(
    process: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object, **__: object) -> float:
        raise FiltersUnreadableError("the thread has ended", errno.ESRCH)

    monkeypatch.setattr(filter_injection, "add_filter", ended)
    monkeypatch.setattr(ptrace, "let_all_go", lambda _: None)
    outcome = tightened(process, FilterRequest(b""))
    assert "they end before they can be stopped" in (outcome.reason or "")
