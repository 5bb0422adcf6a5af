"""The caller of a call, and what is not read during a flood."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import pytest

from runc_wrap.agent.observe import callers
from runc_wrap.agent.observe.callers import EACH, FULL, Callers, look

_PR_SET_NAME = 15


def test_a_process_is_described_by_the_kernels_data() -> None:
    found = look(os.getpid())
    assert (found.pid, found.uid) == (os.getpid(), os.getuid())
    assert found.exe == str(Path("/proc/self/exe").readlink())


@pytest.mark.parametrize("name", [b"a\nb", b"a\\nb", b"Tgid:\t1", b"\xffx", b"sp ace)"])
def test_a_thread_has_its_own_name_and_its_process(name: bytes) -> None:
    found = []

    def run() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name, 0, 0, 0)
        found.append(look(threading.get_native_id()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found[0].pid == os.getpid()
    assert os.fsencode(found[0].comm) == name


def test_of_an_ended_process_only_the_pid_is_known() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    found = look(pid)
    assert (found.pid, found.comm, found.exe) == (pid, "", "")


def test_in_a_flood_only_some_callers_are_read() -> None:
    one, looked = Callers(), 0

    def call(tid: int, now: float) -> None:
        nonlocal looked
        if one.known(tid, now) is None:
            looked += 1
            one.learnt(tid, callers.Caller(tid, 0, "name", ""))

    for tid in range(FULL):
        call(tid, 5.0)
    assert looked == FULL
    for more in range(10 * EACH):
        call(1000 + more, 5.5)
    assert looked == FULL + 10
    known = one.known(1, 5.9)
    assert known is not None
    assert known.comm == "name"
    call(1, 6.0)  # a second later it is looked at again
    assert looked == FULL + 11
