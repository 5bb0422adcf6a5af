"""Tests of the corpus' ground truth: traces are read and filters evaluated correctly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.kernel import filter_emulation, tracefs
from harness.kernel.kernel_log import I386, X86_64
from harness.kernel.tracefs import Made

if TYPE_CHECKING:
    from collections.abc import Sequence

_64, _32 = "do_syscall_64", "do_int80_emulation"
_NO_ARGS = (0, 0, 0, 0, 0, 0)


def _event(pid: int, text: str, through: str = _64) -> str:
    head = f"          a-1 [x]-{pid}     [001] .....   12.345678"
    stack = f"{head}: <stack trace>\n => trace_event_raw\n => {through}\n => entry\n"
    return f"{head}: {text}\n{stack}"


def _call(pid: int, number: int, through: str = _64, args: str = "0, 0, 0, 0, 0, 0") -> str:
    return _event(pid, f"sys_enter: NR {number} ({args})", through)


def _fork(pid: int, child: int) -> str:
    return _event(pid, f"sched_process_fork: comm=a pid={pid} child_comm=a child_pid={child}")


def _exec(pid: int, old: int | None = None) -> str:
    return _event(pid, f"sched_process_exec: filename=/a b pid={pid} old_pid={old or pid}")


FILTERED = _call(7, 317, args="1, 0, 7ff0, 0, 0, 0") + _exec(7)
TRACES = [
    ("what the runtime calls is not the container's", _call(7, 165), []),
    ("a program without a filter is no container's", _exec(7) + _call(7, 165), []),
    ("a question whether it could is no filter", _call(7, 317, args="1, 2, 0, 0, 0, 0"), []),
    ("after the filter, before the program", _call(7, 317, args="1, 0, 9, 0, 0, 0"), []),
    ("the program", FILTERED, [(X86_64, 165)]),
    ("by prctl", _call(7, 157, args="16, 2, 9, 0, 0, 0") + _exec(7), [(X86_64, 165)]),
    (
        "a thread that executes has its leader's pid",
        FILTERED.replace("=7\n", "=8\n"),
        [(X86_64, 165)],
    ),
    ("its child has ended, and the pid is another's", FILTERED + _fork(1, 7), []),
]


@pytest.mark.parametrize(("text", "calls"), [one[1:] for one in TRACES], ids=[t[0] for t in TRACES])
def test_a_containers_calls_are_those_of_programs_executed_under_a_filter(
    text: str, calls: list[tuple[int, int]]
) -> None:
    events = list(tracefs.parse(text + _call(7, 165)))
    assert [one[:2] for one in tracefs.contained(events)] == calls


def test_children_are_the_containers_and_the_kernel_stack_shows_the_abi() -> None:
    text = FILTERED + _fork(7, 9) + _call(9, 21, _32) + _call(9, 21) + _call(5, 21)
    found = tracefs.contained(list(tracefs.parse(text)))
    assert found == [Made(I386, 21, _NO_ARGS), Made(X86_64, 21, _NO_ARGS)]


def test_a_stack_after_another_cpus_call_belongs_to_its_own_call() -> None:
    enters = [_call(pid, 21, through).split("\n", 1) for pid, through in ((7, _32), (9, _64))]
    (first, stack), (second, other) = enters
    text = FILTERED + _fork(7, 9) + f"{first}\n{second}\n{stack.rstrip()}\n{other}"
    found = tracefs.contained(list(tracefs.parse(text)))
    assert found == [Made(I386, 21, _NO_ARGS), Made(X86_64, 21, _NO_ARGS)]


def _instructions(block: Sequence[tuple[int, int, int, int]]) -> list[filter_emulation.Instruction]:
    return [filter_emulation.Instruction(*one) for one in block]


LOAD, EQUAL, ANY, RETURN = 0x20, 0x15, 0x45, 0x06
KILL, REFUSE = 0x80000000, 0x50001
# mount is refused; personality unless its first argument is 8; the rest is let through
PROGRAM = _instructions(
    [
        (LOAD, 0, 0, 0),
        (EQUAL, 3, 0, 165),
        (EQUAL, 0, 3, 135),
        (LOAD, 0, 0, 16),
        (EQUAL, 1, 0, 8),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, filter_emulation.ALLOW),
    ]
)


@pytest.mark.parametrize(
    ("number", "first", "value", "by_arguments"),
    [
        (165, 0, REFUSE, False),
        (135, 0, REFUSE, True),
        (135, 8, filter_emulation.ALLOW, True),
        (1, 8, filter_emulation.ALLOW, False),
    ],
)
def test_a_filter_answers_as_it_is_written(
    number: int, first: int, value: int, by_arguments: bool
) -> None:
    call = Made(X86_64, number, (first, *_NO_ARGS[1:]))
    for _ in range(2):  # what is kept is the same
        assert filter_emulation.Filters([PROGRAM]).of(call) == (value, by_arguments)


def test_of_two_filters_the_stricter_answers() -> None:
    kills = _instructions([(RETURN, 0, 0, KILL)])
    both = filter_emulation.Filters([PROGRAM, kills])
    assert both.of(Made(X86_64, 1, _NO_ARGS)).value == KILL
    assert both.of(Made(X86_64, 1, _NO_ARGS)).denies
