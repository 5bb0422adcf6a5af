"""The keeper's handling of hanging evidence workers."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from runc_wrap.agent import signals, stall_detection, systemd_protocol
from runc_wrap.agent.stall_detection import LOOKS, Pulse
from runc_wrap.agent.supervisor.keeper import MOST_ABANDONED, Keeper
from runc_wrap.agent.supervisor.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from runc_wrap.agent.systemd_protocol import Named


def test_the_keeper_leaves_a_few_unkillable_workers_and_pauses_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if the evidence's disk no longer answers."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr("posix.kill", lambda *_: None)
    monkeypatch.setattr(stall_detection, "is_runnable", lambda _: False)
    keeper = Keeper.__new__(Keeper)
    keeper.held = {"seccomp-1": -1}
    keeper.pulse, keeper.abandoned, keeper.evidence = Pulse(), set(), Worker("evidence")
    for pid in range(1, MOST_ABANDONED + 3):
        keeper.evidence.pid = keeper.evidence.pid or pid
        keeper.evidence.is_ready = True
        keeper.pulse.begin()
        for _ in range(2 * LOOKS):
            if keeper.evidence.pid:
                seconds = keeper._until_look()  # noqa: SLF001 - what its loop waits for
                assert seconds > 0
                now[0] += seconds
            keeper._end_stuck()  # noqa: SLF001 - what its loop does
    assert keeper.abandoned == {*range(1, MOST_ABANDONED + 1)}
    assert keeper.evidence.pid == MOST_ABANDONED + 1
    os.close(keeper.pulse.memory)


class _BecomeError(Exception):
    """Replaces an exec."""


def _worker(address: str) -> int:
    """Start a process that stores a descriptor before it ends on request."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:

        def store(_number: int, _frame: object) -> None:
            sent = systemd_protocol.send(
                address, b"FDSTORE=1\nFDNAME=seccomp-7", [write], seconds=10
            )
            os._exit(0 if sent else 1)

        signal.signal(signal.SIGTERM, store)
        os.write(write, b"x")
        while True:
            time.sleep(60)
    assert os.read(read, 1) == b"x"
    os.close(read)
    os.close(write)
    return pid


def test_descriptors_stored_during_an_upgrade_are_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener of the last create: without it, its container's calls would fail with ENOSYS."""
    keeper = Keeper.__new__(Keeper)
    keeper.prefix, keeper.upstream, keeper.bound, keeper.held = str(tmp_path), "", {}, {}
    keeper.taker = systemd_protocol.listen(str(tmp_path / "keeper.sock"))
    keeper.decisions, keeper.evidence = keeper.workers = [Worker("decisions"), Worker("evidence")]
    keeper.evidence.pid = keeper.evidence.latest = _worker(str(tmp_path / "keeper.sock"))
    handed: list[str] = []

    def become(_argv: Sequence[str], kept: Sequence[Named], _environment: object) -> None:
        handed.extend(each.name for each in kept)
        raise _BecomeError

    monkeypatch.setattr(systemd_protocol, "become", become)
    monkeypatch.setattr(signals, "hold", lambda: None)
    try:
        keeper._begin_anew(["/bin/true"])  # noqa: SLF001 - what its loop does after a trial
    except _BecomeError:
        assert handed == ["seccomp-7"]
    finally:
        keeper.taker.close()
        for fd in keeper.held.values():
            os.close(fd)
    assert handed
