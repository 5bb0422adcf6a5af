"""The evidence worker: waits, and takes the keeper's place if that is killed."""

from __future__ import annotations

import posix
import select
from _signal import SIGTERM  # type: ignore[import-not-found]

from runc_wrap.agent import handing, succession
from runc_wrap.agent.signals import Signals


def main(prefix: str) -> None:
    """Be the evidence worker, until the keeper ends it."""
    handed = handing.received(posix.environ)
    keeper = next(each.fd for each in handed if each.name == "keeper")
    signals = Signals(SIGTERM)
    poll = select.epoll()
    for fd in (keeper, signals.fd):
        poll.register(fd, select.EPOLLIN)
    address = posix.environ.get(b"NOTIFY_SOCKET", b"").decode("utf-8", "surrogateescape")
    handing.send(address, handing.READY)
    while True:
        for fd, _ in poll.poll():
            if fd == signals.fd and SIGTERM in signals.take():
                return
            if fd == keeper:
                succession.take_over(prefix, handed)
