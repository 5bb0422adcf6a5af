"""Who made a call, and what is not looked at when one floods."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import pytest

from runc_wrap.agent import callers
from runc_wrap.agent.callers import EACH, FULL, Callers, look

_PR_SET_NAME = 15


def test_a_process_is_known_by_what_the_kernel_says() -> None:
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


def test_of_one_that_is_gone_the_number_stays() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    found = look(pid)
    assert (found.pid, found.comm, found.exe) == (pid, "", "")


def test_a_flood_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def note(tid: int) -> callers.Caller:
        looked.append(tid)
        return callers.Caller(tid, 0, "name", "")

    monkeypatch.setattr(callers, "look", note)
    one = Callers()
    for call in range(FULL):
        assert one.of(call, 5.0).comm == "name"
    assert len(looked) == FULL
    for call in range(10 * EACH):
        one.of(1000 + call, 5.5)
    assert len(looked) == FULL + 10
    assert one.of(1, 5.9).comm == "name"  # known already
    assert len(looked) == FULL + 10
    one.of(1, 6.0)  # a second later it is looked at again
    assert len(looked) == FULL + 11
