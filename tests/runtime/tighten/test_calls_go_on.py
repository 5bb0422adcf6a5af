"""A process that gets a filter while it waits, computes or is signalled does not notice it.

RUNC_WRAP_TEST_RUNS is the number of fresh containers that sit in each call, 1 if it is not set.
"""

import os
import struct
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.host.processes import run, wait_until
from harness.kernel.process_status import status
from harness.node import install
from harness.node.requirements import program
from runc_wrap.filters.kernel import filter_readback
from runc_wrap.filters.kernel.filter_injection import FilterRequest
from runc_wrap.host import procfs
from runc_wrap.tighten import process_tightening
from tests.runtime.tighten.conftest import (
    DENY_KEYCTL,
    ERRNO,
    KEYCTL,
    KEYCTL_32,
    RETURNED,
    Running,
    calls,
    denying,
    tightened,
)

RUNS = int(os.environ.get("RUNC_WRAP_TEST_RUNS", "1"))
CALLS = 27  # of the program, without vfork's: its thread does not stop
SECONDS = 5 if RUNS == 1 else 8  # three containers at a time, each with a thread that computes


@pytest.mark.parametrize("is_each", [False, True], ids=["once", "by-each"])
def test_every_thread_gets_the_filter_and_every_call_ends_as_it_would_have(
    start: Callable[..., Running],
    built: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_each: bool,
) -> None:
    """One thread adds it to all: each is it in turn, and stopped in its call."""

    def turned(threads: Iterable[int]) -> list[int]:
        order = sorted(threads)
        return order[turn.at :] + order[: turn.at]

    built("waiting")
    turn = threading.local()
    if is_each:
        monkeypatch.setattr(process_tightening, "_soonest", turned)
    in_fresh_containers(RUNS, lambda: goes_on(start, turn, is_each=is_each))


def in_fresh_containers(number: int, check: Callable[[], None]) -> None:
    """Do the same in so many, three at a time."""
    with ThreadPoolExecutor(3) as several:
        list(several.map(lambda _: check(), range(number)))


def goes_on(start: Callable[..., Running], turn: threading.local, *, is_each: bool) -> None:
    undisturbed, running = (start("waiting", SECONDS, "vfork") for _ in range(2))
    running.wait_for("all wait")
    wait_until(lambda: has_child(running.pid), "waitpid's child, which is listed if it was there")
    begun = time.monotonic()
    turn.at = 0
    outcomes = running.tighten()
    for turn.at in range(1, CALLS + 1) if is_each else ():
        (one,) = tightened(running.pid)
        assert (one.reason, one.after) == (None, (2, turn.at + 1))
    assert time.monotonic() - begun < SECONDS - 1, "it was too late to be seen"
    assert [one.reason for one in outcomes] == [None, None]  # waitpid's child is the second
    first = next(one for one in outcomes if one.pid == running.pid)
    assert (first.before, first.after) == ((0, 0), (2, 1))
    running.wait_for("done")
    found = calls(running.out.read_text())
    assert len(found) == CALLS == first.threads - 1
    assert {name: one[0] for name, one in found.items()} == {
        name: RETURNED.get(name, (0, 0)) for name in found
    }
    undisturbed.wait_for("done")
    usual = max(late for _, late, _ in calls(undisturbed.out.read_text()).values())
    times = {name: late for name, (_, late, _) in found.items()}
    assert {name: late for name, late in times.items() if late < SECONDS * 775} == {}
    assert {name: late for name, late in times.items() if late > usual + SECONDS * 225} == {}
    assert {one[2] for one in found.values()} == {ERRNO}


def has_child(pid: int) -> bool:
    return any((procfs.born(one) or (0, 0))[1] == pid for one in procfs.pids())


def test_a_thread_that_cannot_stop_does_not_keep_its_process_from_being_tightened(
    start: Callable[..., Running],
) -> None:
    running = start("waiting", SECONDS)  # it waits for a child made by vfork
    running.wait_for("all wait")
    outcomes = running.tighten()
    assert [one.reason for one in outcomes] == [None] * 3
    running.wait_for("done")
    assert {one[2] for one in calls(running.out.read_text()).values()} == {ERRNO}


def test_a_second_time_ends_no_call_nor_does_reading_the_filters(
    start: Callable[..., Running],
) -> None:
    running = start("waiting", SECONDS, "vfork")
    running.wait_for("all wait")
    running.tighten()
    again = running.tighten()
    assert {one.reason for one in again} == {None}
    assert sorted(one.after.filters or 0 for one in again) == [1, 2]  # a child with one thread
    read = [filters for _, _, filters in filter_readback.read_threads([running.pid])]
    assert all(isinstance(one, tuple) and one[-1] == DENY_KEYCTL.program for one in read)
    assert "done" not in running.out.read_text(), "it was too late to be seen"
    running.wait_for("done")
    found = calls(running.out.read_text())
    assert {name: one[0] for name, one in found.items()} == {
        name: RETURNED.get(name, (0, 0)) for name in found
    }


def test_a_32_bit_program_keeps_its_calls_and_its_registers_or_is_named_if_all_are_denied(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    source = install.SOURCE / "harness" / "programs" / "waiting32.c"
    flags = ["-m32", "-nostdlib", "-static", "-O1", "-fno-stack-protector", "-fno-pie", "-no-pie"]
    run([program("cc"), *flags, "-o", tmp_path / "waiting32", source])
    in_fresh_containers(max(RUNS, 5), lambda: computes_on(start(tmp_path / "waiting32")))


def computes_on(running: Running) -> None:
    of_abi = struct.pack("=HBBI", 0x20, 0, 0, 4) + denying(0x40000003)[8:]
    (named,) = running.tighten(FilterRequest(of_abi, set_no_new_privs=True))
    assert "SCMP_ARCH_X86" in (named.reason or "")
    for at, error in enumerate((ERRNO, ERRNO + 1, ERRNO + 2), 1):
        request = FilterRequest(denying(KEYCTL_32, error), set_no_new_privs=True)
        assert [one.reason for one in running.tighten(request)] == [None]
        wait_until(lambda: len(words(running)) == 1 + 2 * at, f"its step {at}", 60)  # noqa: B023
    assert words(running)[1::2] == [0, 0, 0]
    assert [(1 << 32) - one for one in words(running)[2::2]] == [ERRNO, ERRNO + 1, ERRNO + 2]


def words(running: Running) -> list[int]:
    """Return what the program wrote."""
    return [int(word, 16) for word in running.out.read_text().split()]


def test_no_signal_is_lost_or_changed(start: Callable[..., Running]) -> None:
    running = start("tightened", "signals", 20000)
    for error in range(5):
        outcomes = running.tighten(
            FilterRequest(denying(KEYCTL, ERRNO + error), set_no_new_privs=True)
        )
        assert {one.reason for one in outcomes} == {None}
    assert "of" not in running.out.read_text(), "it was too late to be seen"
    running.wait_for("20000 of 20000")


def test_a_restartable_sequence_is_broken_off_not_continued(start: Callable[..., Running]) -> None:
    running = start("tightened", "sequence")
    for error in range(10):
        (one,) = running.tighten(
            FilterRequest(denying(KEYCTL, ERRNO + error), set_no_new_privs=True)
        )
        assert one.reason is None
        if "broken" in running.out.read_text():  # on a busy machine
            assert error, "it was too late to be seen"
            break
    running.wait_for("keyctl")
    assert "broken 0\n" in running.out.read_text()


def test_a_stopped_container_stays_stopped_and_goes_on_under_the_filter(
    start: Callable[..., Running],
) -> None:
    running = start("tightened", "sits")
    running.wait_for("keyctl 95")
    os.kill(running.pid, 19)
    wait_until(lambda: status(running.pid)["State"].startswith("T"), "the stop")
    (one,) = running.tighten()
    assert one.reason is None
    wait_until(lambda: status(running.pid)["State"].startswith("T (stopped)"), "the stop again")
    time.sleep(0.1)
    assert status(running.pid)["State"].startswith("T (stopped)")
    os.kill(running.pid, 18)
    running.wait_for(f"keyctl {ERRNO}")
