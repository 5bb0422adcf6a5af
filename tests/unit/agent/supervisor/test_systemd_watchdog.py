"""systemd's watchdog: sd_watchdog_enabled(3)."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import short_directory
from runc_wrap.agent import systemd_protocol
from runc_wrap.agent.supervisor.systemd_watchdog import Watchdog

if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterator

OURS = b"%d" % os.getpid()


@pytest.fixture
def systemd() -> Iterator[tuple[str, _socket.socket]]:
    with short_directory("watchdog") as place:
        path = str(place / "notify")
        taker = systemd_protocol.listen(path)
        yield path, taker
        taker.close()


@pytest.mark.parametrize("whose", [{}, {b"WATCHDOG_PID": OURS}])
def test_systemd_is_notified_twice_per_watchdog_interval(
    systemd: tuple[str, _socket.socket], monkeypatch: pytest.MonkeyPatch, whose: dict[bytes, bytes]
) -> None:
    now = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watchdog = Watchdog(systemd[0], {b"WATCHDOG_USEC": b"30000000", **whose})
    told = []
    for _ in range(7):
        watchdog.tell_due()
        if message := systemd_protocol.receive(systemd[1]):
            told.append((now[0], message.lines))
        now[0] += max(min(5.0, *watchdog.seconds(), 5.0), 0.1)
    assert told == [(50.0, [b"WATCHDOG=1"]), (65.0, [b"WATCHDOG=1"]), (80.0, [b"WATCHDOG=1"])]


@pytest.mark.parametrize(
    "environment",
    [{}, {b"WATCHDOG_USEC": b"x"}, {b"WATCHDOG_USEC": b"3000000", b"WATCHDOG_PID": b"1"}],
)
def test_without_a_systemd_watchdog_nothing_is_sent_and_no_timer_runs(
    systemd: tuple[str, _socket.socket], environment: dict[bytes, bytes]
) -> None:
    watchdog = Watchdog(systemd[0], environment)
    watchdog.tell_due()
    assert watchdog.seconds() == []
    assert systemd_protocol.receive(systemd[1]) is None
