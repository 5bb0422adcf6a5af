"""What one thread does while another is about to get the filter neither stops nor escapes it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.host.processes import wait_until
from harness.kernel.process_status import status
from runc_wrap.filters.kernel import injected_code, ptrace
from runc_wrap.filters.kernel.filter_injection import FilterRequest
from runc_wrap.tighten import process_tightening
from runc_wrap.tighten.process_tightening import ProcessOutcome
from tests.runtime.tighten.conftest import KEYCTL, denying, tightened

SEIZE, GETREGS, GET_SIGMASK = 0x4206, 12, 0x420A  # linux/ptrace.h
# Two threads, which say their numbers; one of them acts once a file is there.
PROGRAM = """
import ctypes, os, struct, sys, threading, time
kernel = ctypes.CDLL(None)
lines = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000), 8)
allowing = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(lines)), 16)
sleeps = [sys.executable, "-c", "import time; time.sleep(1000)"]
acts = {
    "executes": lambda: os.execv(sleeps[0], sleeps),
    "filters": lambda: kernel.prctl(22, 2, allowing, 0, 0),
    "privileges": lambda: kernel.prctl(38, 1, 0, 0, 0),
}[sys.argv[3]]
def wait():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.001)
    acts()
    time.sleep(1000)
is_first = sys.argv[2] == "first"
second = threading.Thread(target=time.sleep if is_first else wait, args=[1000] if is_first else [])
second.start()
print(os.getpid(), second.native_id, flush=True)
wait() if is_first else time.sleep(1000)
"""


class TwoThreads:
    def __init__(self, first: int, second: int, file: Path, patch: pytest.MonkeyPatch) -> None:
        self.first, self.second, self._file, self._patch = first, second, file, patch

    def tighten(self, seized: int, at: int, happened: Callable[[], bool]) -> ProcessOutcome:
        """Tighten it, `seized` first; after that request something happens."""
        real = ptrace.call

        def call(request: int, tid: int, *more: Any) -> int:
            returned = real(request, tid, *more)
            if request == at and not self._file.exists():
                assert tid == seized
                self._file.touch()
                wait_until(happened, "the other thread", pause=0.001)
            return returned

        self._patch.setattr(ptrace, "call", call)
        order = sorted((self.first, self.second), reverse=seized == self.second)
        self._patch.setattr(
            process_tightening,
            "_soonest",
            lambda threads: sorted(threads, key=lambda one: one != order[0]),
        )
        request = FilterRequest(denying(KEYCTL))
        (one,) = tightened(self.first, request)
        assert self._file.exists(), "nothing happened"
        return one


@pytest.fixture
def two_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], TwoThreads]]:
    """Start two threads, the "first" or "second" of which does something once it is tightened."""
    begun: list[subprocess.Popen[str]] = []

    def start(who: str, what: str) -> TwoThreads:
        words = [sys.executable, "-c", PROGRAM, str(tmp_path / "now"), who, what]
        begun.append(subprocess.Popen(words, stdout=-1, text=True))
        assert begun[-1].stdout
        first, second = map(int, begun[-1].stdout.readline().split())
        return TwoThreads(first, second, tmp_path / "now", monkeypatch)

    yield start
    for one in begun:
        one.kill()
        one.communicate()


def test_a_thread_that_executes_a_program_while_it_is_traced_is_not_lost(
    two_threads: Callable[[str, str], TwoThreads],
) -> None:
    threads = two_threads("second", "executes")
    # it has the first one's number then
    one = threads.tighten(threads.second, SEIZE, lambda: status(threads.first)["Threads"] == "1")
    assert (one.reason, one.after) == (None, (2, 1))


def test_a_call_that_another_thread_turned_into_another_abis_is_not_made(
    two_threads: Callable[[str, str], TwoThreads], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = injected_code.code
    monkeypatch.setattr(
        injected_code, "code", lambda *all_: real(*all_).replace(b"\x0f\x05", b"\xcd\x80", 1)
    )
    threads = two_threads("second", "filters")
    one = threads.tighten(threads.first, SEIZE, lambda: True)
    assert "another of its threads changed what it executes" in (one.reason or "")


@pytest.mark.parametrize("at", [GETREGS, GET_SIGMASK])
def test_an_exec_that_waits_until_a_tracer_has_seen_its_thread_end_goes_on(
    two_threads: Callable[[str, str], TwoThreads], at: int
) -> None:
    threads = two_threads("first", "executes")
    one = threads.tighten(threads.second, at, lambda: status(threads.second)["State"][0] == "Z")
    assert (one.reason, one.after) == (None, (2, 1))


@pytest.mark.parametrize(
    ("what", "field", "has", "reason"),
    [
        ("filters", "Seccomp_filters", ["1", "0"], "its threads have different filters"),
        ("privileges", "NoNewPrivs", ["1", "0"], ""),
    ],
)
def test_what_a_thread_has_of_its_own_is_not_given_to_the_others(
    two_threads: Callable[[str, str], TwoThreads],
    what: str,
    field: str,
    has: list[str],
    reason: str,
) -> None:
    threads = two_threads("first", what)
    one = threads.tighten(threads.first, SEIZE, lambda: status(threads.first)[field] == "1")
    assert (one.reason or "")[: len(reason)] == reason
    assert [status(tid)[field] for tid in (threads.first, threads.second)] == has
