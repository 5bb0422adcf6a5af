"""The kernel's handling of sent calls; none is lost with the answering process."""

import os
import select
import signal
import time
from pathlib import Path

import pytest

from harness.host import moments
from harness.host.processes import wait_until
from runc_wrap.agent.observe import seccomp_unotify
from runc_wrap.agent.observe.seccomp_unotify import Inflight
from runc_wrap.profiles import syscall_names

if syscall_names.known_to_libseccomp([]) is None:
    pytest.skip("needs libseccomp", allow_module_level=True)

from collections.abc import Callable, Iterator

from harness.containers import listener_process
from harness.containers.listener_process import Sender

NUMBER = 7


@pytest.fixture
def sender() -> Iterator[Sender]:
    with listener_process.sender() as made:
        yield made


@pytest.fixture
def inflight() -> Iterator[Inflight]:
    made = Inflight.new()
    yield made
    made.memory.close()
    os.close(made.fd)


def in_child(do: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            do()
        finally:
            os._exit(0)
    return pid


def test_a_call_continues_as_without_an_agent(sender: Sender, inflight: Inflight) -> None:
    sender.call()
    assert select.select([sender.listener], [], [], 5)[0]
    call = inflight.receive(sender.listener, NUMBER)
    assert call is not None
    assert (call.tid, call.number) == (sender.pid, listener_process.KEYCTL)
    assert call.args[:2] == (99, 1 << 40)
    assert seccomp_unotify.is_valid(sender.listener, call.id)
    assert seccomp_unotify.proceed(sender.listener, call.id)
    assert os.read(sender.results, 100) == listener_process.AS_USUAL
    assert not seccomp_unotify.is_valid(sender.listener, call.id)
    assert not seccomp_unotify.proceed(sender.listener, call.id)


def test_after_a_kill_the_next_process_answers_a_call(sender: Sender, inflight: Inflight) -> None:
    def receive() -> None:
        inflight.receive(sender.listener, NUMBER)
        os.kill(os.getpid(), signal.SIGKILL)

    sender.call()
    assert select.select([sender.listener], [], [], 5)[0]
    assert os.waitpid(in_child(receive), 0)[1] == signal.SIGKILL
    successor = Inflight(os.dup(inflight.fd))
    assert successor.left is not None
    number, call = successor.left
    assert number == NUMBER
    assert seccomp_unotify.proceed(sender.listener, call.id)
    assert os.read(sender.results, 100) == listener_process.AS_USUAL


def test_the_kernel_writes_into_the_memory_itself(sender: Sender, inflight: Inflight) -> None:
    """A copy made by Python would leave a moment in which only a killed process had the data."""
    pid = in_child(lambda: inflight.receive(sender.listener, NUMBER))
    syscall, maps, ioctl = f"/proc/{pid}/syscall", f"/proc/{pid}/maps", f"{seccomp_unotify.RECV:#x}"
    try:
        wait_until(lambda: ioctl in Path(syscall).read_text(), "the ioctl")
        argument = int(Path(syscall).read_text().split()[3], 16)
        lines = [line for line in Path(maps).read_text().splitlines() if "inflight" in line]
        where = [line.split()[0].split("-") for line in lines]
        assert any(int(a, 16) <= argument < int(b, 16) for a, b in where)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_what_was_counted_outlives_the_process_until_it_is_written(inflight: Inflight) -> None:
    def work() -> None:
        for call in (11, 12, 13):
            inflight.count(call)
        inflight.read(5)
        inflight.read(2)
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(in_child(work), 0)
    successor = Inflight(os.dup(inflight.fd))
    assert (successor.unwritten, successor.records) == (3, 7)
    assert (successor.is_counted(13), successor.is_counted(12)) == (True, False)
    successor.written()
    assert (inflight.records, inflight.unwritten) == (0, 0)


def test_a_process_busy_with_one_thing_for_long_hung_and_a_waiting_one_did_not(
    inflight: Inflight, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [inflight.was_stuck]
    inflight.begin()
    found.append(inflight.was_stuck)
    later = time.monotonic_ns() + int(1.1 * seccomp_unotify.BUSY_SECONDS * 1e9)
    monkeypatch.setattr(time, "monotonic_ns", lambda: later)
    found.append(inflight.was_stuck)
    inflight.rest()
    found.append(inflight.was_stuck)
    assert found == [False, False, True, False]


def test_a_call_is_counted_with_its_number_or_not_at_all(inflight: Inflight) -> None:
    """Whenever it is killed, a process leaves the pair of before or the new one."""
    inflight.count(7)
    left = moments.of(
        Inflight._count,  # noqa: SLF001 - the one moment that counts is in it
        lambda: inflight.count(8),
        lambda: (inflight.unwritten, inflight.is_counted(7), inflight.is_counted(8)),
    )
    before, after = (1, True, False), (2, False, True)
    assert set(left) == {before, after}
