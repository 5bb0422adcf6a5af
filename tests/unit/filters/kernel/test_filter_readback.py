"""Several processes are read although one blocks the reader; each goes on from any stop."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from runc_wrap.filters.kernel import filter_readback, ptrace

BLOCKED = ptrace.FiltersUnreadableError("it blocks")
FILTERS = (b"a filter",)


def test_those_begun_before_one_that_blocks_are_read_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first had not stopped yet when the second blocked."""
    asked: list[list[int]] = []
    turns: list[tuple[dict[int, filter_readback.Read], int | None]] = [
        ({2: BLOCKED}, 2),
        ({3: FILTERS, 1: FILTERS}, None),
    ]

    def once(pids: list[int], *_: float) -> tuple[dict[int, filter_readback.Read], int | None]:
        asked.append(list(pids))
        return turns.pop(0)

    monkeypatch.setattr(ptrace, "status", lambda _: SimpleNamespace(mode=2))
    monkeypatch.setattr(filter_readback, "_once", once)
    assert filter_readback.read_all([1, 2, 3]) == {1: FILTERS, 2: BLOCKED, 3: FILTERS}
    assert asked == [[1, 2, 3], [3, 1]]


def test_a_process_goes_on_from_a_stop_at_a_system_call() -> None:
    """Its stop's signal has a bit beside SIGTRAP, with which the kernel detaches nobody."""
    seize, interrupt, to_next_call, sysgood = 0x4206, 0x4207, 24, 1  # linux/ptrace.h
    with subprocess.Popen(["yes"], stdout=subprocess.DEVNULL) as process:
        try:
            ptrace.call(seize, process.pid, 0, sysgood)
            ptrace.call(interrupt, process.pid)
            os.waitpid(process.pid, 0)
            ptrace.call(to_next_call, process.pid)
            ptrace.let_go(*os.waitpid(process.pid, 0))
            assert ptrace.status(process.pid).tracer == 0
        finally:
            process.kill()
