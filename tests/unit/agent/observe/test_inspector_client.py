"""What is read of a caller and its memory, and by whom: an inspector that may hang."""

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host.processes import wait_until
from runc_wrap.agent.observe import call_arguments, inspector_client
from runc_wrap.agent.observe.container_limits import ObservedContainer
from runc_wrap.agent.observe.inspector import process, program, purpose
from runc_wrap.agent.observe.inspector_client import MOST_STUCK, Inspector
from runc_wrap.agent.observe.seccomp_unotify import Notification

_PR_SET_NAME = 15


def test_a_process_is_described_by_the_kernels_data_and_an_ended_one_by_its_pid() -> None:
    pid, uid, _, exe = process(os.getpid())
    assert (pid, uid, exe) == (os.getpid(), os.getuid(), str(Path("/proc/self/exe").readlink()))
    ended = os.fork()
    if ended == 0:
        os._exit(0)
    os.waitpid(ended, 0)
    assert process(ended) == (ended, 0, "", "")


@pytest.mark.parametrize("name", [b"a\nb", b"a\\nb", b"Tgid:\t1", b"\xffx", b"sp ace)"])
def test_a_thread_has_its_own_name_and_its_process(name: bytes) -> None:
    found = []

    def run() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name, 0, 0, 0)
        found.append(process(threading.get_native_id()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    ((pid, _, comm, _),) = found
    assert pid == os.getpid()
    assert os.fsencode(comm) == name


X86_64, MEMFD_SECRET, MAP_FIXED = 0xC000003E, 447, 0x10


def _call(number: int, address: int, size: int = 88) -> Notification:
    return Notification((1, os.getpid(), 0, number, X86_64, 0, address, size, 0, 0, 0, 0))


@pytest.mark.parametrize("number", [435, 435 | 0x40000000])
def test_clone3s_flags_and_set_tid_count_where_the_kernel_reads_them(number: int) -> None:
    args = (ctypes.c_uint64 * 11)(0x10000080, *[0] * 7, 4096, 2)
    for size, tids in ((79, 0), (80, 2), (88, 2)):
        call = _call(number, ctypes.addressof(args), size)
        where = call_arguments.clone_args(call)
        assert where == ctypes.addressof(args)
        read = purpose(os.getpid(), where)
        assert call_arguments.arguments(call, read) == (0x10000080, tids, 0, 0, 0, 0)


def test_a_clone3_without_a_struct_has_no_flags_and_those_that_cannot_be_read_are_unknown() -> None:
    assert purpose(os.getpid(), 0) == (0, 0)
    for size in (0, 63, 88):
        assert call_arguments.arguments(_call(435, 0, size), (0, 0)) == (0, 0, 0, 0, 0, 0)
    for address in (0x10000, 1 << 63, (1 << 64) - 1):
        assert purpose(os.getpid(), address) is None
        assert call_arguments.arguments(_call(435, address), None) is None


def test_memory_that_only_its_process_can_read_hides_no_flags() -> None:
    """By memfd_secret(2); the struct may begin before it."""
    for hidden, known in ((0, None), (4, None), (8, (0x10000000, None))):
        args = _secret_memory() - hidden
        ctypes.memmove(args, struct.pack("=11Q", 0x10000000, *[0] * 8, 2, 0), 88)
        read = purpose(os.getpid(), args)
        assert read == known
        assert call_arguments.arguments(_call(435, args), read) is None


@pytest.mark.parametrize("hidden", [0, 4])
def test_memory_that_only_its_process_can_read_hides_no_filter(hidden: int) -> None:
    """It could answer anything; of a filter that the kernel rejects nothing is kept."""
    secret = _secret_memory()
    ctypes.memmove(secret - hidden, struct.pack("=HHIQ", 1, 0, 0, secret), 16)
    assert program(os.getpid(), secret - hidden, compat=False) is None
    readable = ctypes.create_string_buffer(struct.pack("=HHIQ", 1, 0, 0, secret - hidden))
    where = ctypes.addressof(readable)
    assert program(os.getpid(), where, compat=False) is None


def _secret_memory() -> int:
    """Map a page, and secret memory behind it; return where that begins."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(MEMFD_SECRET, 0)
    if fd < 0:
        pytest.skip(f"memfd_secret: {os.strerror(ctypes.get_errno())}")
    os.ftruncate(fd, mmap.PAGESIZE)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    access = mmap.PROT_READ | mmap.PROT_WRITE
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    page = libc.mmap(None, 2 * mmap.PAGESIZE, access, private, -1, 0)
    where: int = page + mmap.PAGESIZE
    assert libc.mmap(where, mmap.PAGESIZE, access, mmap.MAP_SHARED | MAP_FIXED, fd, 0) == where
    os.close(fd)
    return where


PATIENT, HASTY = ObservedContainer(("patient", "")), ObservedContainer(("hasty", ""))
LATE: list[ObservedContainer] = []


@pytest.fixture(autouse=True)
def _unspent() -> None:
    PATIENT.patience, HASTY.patience = 5.0, 0.05
    LATE.clear()


@pytest.fixture
def inspector(tmp_path: Path) -> Iterator[Inspector]:
    made = Inspector(str(tmp_path), LATE.append)
    made.start()
    yield made
    made.stop()
    wait_until(lambda: made.reap() == 0, "its end")


def _await_answer(inspector: Inspector) -> None:
    """Ask until there is an answer: on a busy machine an inspector may be late to start."""
    wait_until(lambda: inspector.ask(PATIENT, os.getpid()) is not None, "an answer")


def _children() -> list[int]:
    """Return the pids of inspectors that are this process' children."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in found if b"inspector" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_hanging_inspector_is_given_up_and_another_one_answers(
    inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    _await_answer(inspector)
    (stopped,) = _children()
    os.kill(stopped, signal.SIGSTOP)
    assert inspector.ask(HASTY, os.getpid()) is None
    assert LATE == [HASTY]
    _await_answer(inspector)
    wait_until(lambda: stopped not in _children() and inspector.reap() == 0, "the end of the first")
    monkeypatch.setattr(inspector_client, "is_runnable", lambda _: True)  # as if it had no CPU
    (starved,) = _children()
    os.kill(starved, signal.SIGSTOP)
    later = threading.Timer(0.1, os.kill, (starved, signal.SIGCONT))
    later.start()  # else a busy node's calls of the runtime itself would count as the container's
    found = inspector.ask(HASTY, os.getpid())
    later.join()
    assert found is not None
    assert found.caller.pid == os.getpid()
    os.kill(starved, signal.SIGSTOP)
    assert inspector.ask(HASTY, os.getpid()) is None
    before = time.monotonic()
    assert inspector.ask(PATIENT, os.getpid()) is None  # it is not waited for again
    assert time.monotonic() - before < 1
    os.kill(starved, signal.SIGCONT)
    _await_answer(inspector)
    assert _children() == [starved]


def test_without_a_descriptor_to_be_had_nothing_is_read_until_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener that was to be polled next would hang its container."""

    def fails(*_: int) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    made = Inspector(str(tmp_path), LATE.append)
    monkeypatch.setattr(inspector_client, "_AGAIN", 0.0)
    with monkeypatch.context() as exhausted:
        exhausted.setattr("_socket.socketpair", fails)
        assert made.ask(PATIENT, os.getpid()) is None
    _await_answer(made)
    os.kill(_children()[0], signal.SIGKILL)  # one that ended is started again
    _await_answer(made)
    made.stop()
    wait_until(lambda: made.reap() == 0, "its end")


def test_an_inspector_without_cpu_for_long_is_also_given_up(
    inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    _await_answer(inspector)
    monkeypatch.setattr(inspector_client, "is_runnable", lambda _: True)
    monkeypatch.setattr(inspector_client, "_SLOWEST", 0.1)
    os.kill(_children()[0], signal.SIGSTOP)
    assert inspector.ask(HASTY, os.getpid()) is None
    time.sleep(0.1)
    _await_answer(inspector)
    assert LATE == [HASTY]  # it is about the one that kept it, not about the next


def test_the_time_of_all_reads_counts_against_one_budget(inspector: Inspector) -> None:
    """Otherwise a page that arrives after 40 ms each time would delay others without end."""
    assert not HASTY.spend(0.0005)  # as any read
    assert not HASTY.spend(0.04)
    assert HASTY.spend(0.02)
    assert not HASTY.may_be_read
    _await_answer(inspector)
    assert PATIENT.patience == pytest.approx(5.0, abs=0.05)


def test_there_are_at_most_a_few_inspectors_that_cannot_be_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Like processes in an uninterruptible wait: here they are not killed."""
    monkeypatch.setattr("posix.kill", lambda *_: None)
    made = Inspector(str(tmp_path), LATE.append)
    before = set(_children())
    try:
        for _ in range(MOST_STUCK):
            _await_answer(made)
            (newest,) = set(_children()) - before
            before.add(newest)
            os.kill(newest, signal.SIGSTOP)
            assert made.ask(HASTY, os.getpid()) is None
        assert LATE == [HASTY] * MOST_STUCK
        for _ in range(3):
            assert made.ask(PATIENT, os.getpid()) is None
        assert len(_children()) == MOST_STUCK
        assert capfd.readouterr().err.count(f"{MOST_STUCK} readers hang") == 1
    finally:
        monkeypatch.undo()
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    wait_until(lambda: made.reap() == 0, "their end")
    _await_answer(made)
    made.stop()
    wait_until(lambda: made.reap() == 0, "its end")
