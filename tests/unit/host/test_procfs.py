"""What /proc says of processes, whatever they call themselves and their cgroups."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import runc_wrap
from runc_wrap.host import procfs

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds
NONE = 2**22 + 1  # more than any pid (linux:include/linux/threads.h)


def test_the_age_of_a_process_is_exact_to_a_tick() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    with subprocess.Popen(["sleep", "60"]) as child:
        after = time.clock_gettime(time.CLOCK_BOOTTIME)
        time.sleep(0.1)
        asked = time.clock_gettime(time.CLOCK_BOOTTIME)
        age = procfs.age(child.pid)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        child.kill()
    assert age is not None
    assert asked - after <= age <= now - before + TICK


def test_of_a_process_that_is_not_there_nothing_is_said() -> None:
    assert (procfs.born(NONE), procfs.started(NONE), procfs.program(NONE)) == (None, None, None)
    assert (procfs.namespace(NONE, "pid"), procfs.namespace_inode(NONE, "pid")) == (None, 0)
    assert (procfs.cgroups(NONE), procfs.age(NONE), procfs.is_runnable(NONE)) == (None, None, False)
    assert (procfs.threads(NONE), procfs.open_files(NONE)) == ([], set())
    with pytest.raises(FileNotFoundError):
        procfs.status(NONE)


def test_who_has_ended_and_was_not_waited_for_is_born_and_is_no_more() -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert procfs.born(pid) is not None
        assert procfs.started(pid) is None
        assert procfs.has_ended(procfs.status(pid)[b"State"])
    finally:
        os.waitpid(pid, 0)


EXECUTED = [(((b"Z", b"2"), (b"S", b"1")), 7), (((b"Z", b"2"), (b"Z", b"1")), None), ([], None)]


@pytest.mark.parametrize(("states", "started"), EXECUTED)
def test_a_process_whose_other_thread_has_just_executed_a_program_has_not_ended(
    monkeypatch: pytest.MonkeyPatch, states: Sequence[tuple[bytes, bytes]], started: int | None
) -> None:
    """Its first thread was seen as ended, and the other, which then took its number, no more."""
    seen = iter(states)

    def stat(_: int) -> list[bytes]:
        state, threads = next(seen, (b"", b""))
        return [state, *[b"0"] * 16, threads, b"0", b"7"] if state else []

    monkeypatch.setattr(procfs, "_stat", stat)
    monkeypatch.setattr(procfs, "threads", lambda _: [])
    assert procfs.started(NONE) == started


def test_a_process_whose_thread_made_the_next_and_ended_while_it_was_asked_has_not_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There are two each time: the first one, which has ended, and one that is released or runs."""
    lists = iter([["1", "2"], ["1", "3"], ["1", "3"]])

    rest = (*[b"0"] * 16, b"2", b"0", b"7")
    monkeypatch.setattr(procfs, "_stat", lambda one: [b"S" if one == "3" else b"Z", *rest])
    monkeypatch.setattr(procfs, "threads", lambda _: next(lists))
    assert procfs.started(1) == 7


@pytest.mark.parametrize("name", [") S 1 2", "\rPPid:\t1", "a\nb\\n", " a "])
def test_a_name_that_looks_like_another_field_is_a_name(name: str) -> None:
    program = "import os, sys; open('/proc/self/comm', 'wb').write(bytes.fromhex(sys.argv[1]));"
    program += "print(flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", program, name.encode().hex()]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        said, born = procfs.status(process.pid), procfs.born(process.pid)
        process.communicate()
    assert born
    assert procfs.plain_name(said[b"Name"]) == name
    assert (int(said[b"PPid"]), born[1]) == (os.getpid(), os.getpid())


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_a_cgroup_with_a_name_of_two_lines_is_1(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """A user who has a cgroup makes others in it, and the kernel refuses newlines only."""
    path = f"/user.slice/x{end}0::/system.slice/docker-ID.scope"
    said = f"1:net_cls,net_prio:/a:b\n0::{path}\n".encode()
    monkeypatch.setattr(procfs, "read", lambda _: said)
    assert procfs.cgroups(1) == [("1", "net_cls,net_prio", "/a:b"), ("0", "", path)]


def test_what_the_inspectors_client_imports_for_it_is_lean() -> None:
    program = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1])\n"
        "import runc_wrap.host.procfs\n"
        "print(*sorted(name for name in set(sys.modules) - before if 'runc_wrap' not in name))"
    )
    root = str(Path(runc_wrap.__file__).parents[1])
    argv = [sys.executable, "-I", "-S", "-c", program, root]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert set(done.stdout.split()) <= {"__future__"}


THREADS = [
    (b"iou-wrk-1", 0x10, True),  # before Linux 6.4
    (b"iou-wrk-1", 0x4010, True),
    (b"iou-wrk-1", 0, False),  # any thread may call itself so
    (b"qemu", 0x10, False),  # a virtual CPU before Linux 5.12
    (b"vhost-1", 0x4000, True),
    (b"sh", 0x4000, False),  # it has bound a driver, before Linux 5.17
    (b"vhost-1", 0x200000, True),  # before Linux 6.4, a process in its owner's cgroup
]


@pytest.mark.parametrize(("name", "flags", "is_kernels"), THREADS)
def test_threads_that_never_leave_the_kernel_are_left_out(
    monkeypatch: pytest.MonkeyPatch, name: bytes, flags: int, *, is_kernels: bool
) -> None:
    stat = b"1 (%s) S" % name + b" %d" % flags * 30
    monkeypatch.setattr(procfs, "read", lambda _: stat)
    monkeypatch.setattr(procfs, "status", lambda _: {b"Name": name, b"State": b"S"})
    assert (procfs.living(os.getpid()) == {}) is is_kernels
