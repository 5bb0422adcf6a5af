"""A clock, descriptors that are always readable, and systemd's socket, for services' tests."""

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.host.processes import short_directory


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, which a test moves."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def poll() -> Iterator[select.epoll]:
    with select.epoll() as made:
        yield made


@pytest.fixture
def ready(poll: select.epoll) -> Iterator[Callable[[], int]]:
    """Make descriptors that are always readable, as a listener that floods is."""
    opened: list[int] = []

    def make() -> int:
        opened.append(os.eventfd(1))
        poll.register(opened[-1], select.EPOLLIN)
        return opened[-1]

    yield make
    for fd in opened:
        os.close(fd)


class Systemd:
    """Its socket for services' messages; `path` may be taken away and given back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.taker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.taker.bind(str(path))
        self.taker.setblocking(False)

    def messages(self, most: int = 9999) -> list[bytes]:
        """Return the messages that came; their descriptors are not taken."""
        found: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while len(found) < most:
                found.append(self.taker.recv(999))
        return found


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    with short_directory("systemd") as place:
        made = Systemd(place / "notify")
        yield made
        made.taker.close()
