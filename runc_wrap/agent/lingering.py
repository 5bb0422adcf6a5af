"""What a keeper becomes that is told to stop while containers still send calls.

The calls continue. Nothing is recorded, and no new listener is taken. It ends with the last of
these containers, or at the next SIGTERM: from then on calls fail with ENOSYS, as the kernel has it.
"""

from __future__ import annotations

import posix
import select

from runc_wrap.agent import handing, notify, signals
from runc_wrap.agent.stored import INFLIGHT, number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.agent.handing import Named


def main(_prefix: str) -> None:
    """Let calls continue until the last listener is gone."""
    handed = handing.received(posix.environ)
    signals.fresh()
    linger(handed)


def linger(handed: list[Named]) -> None:
    """Let calls continue, also the one that a killed process had received."""
    memory = [each.fd for each in handed if each.name == INFLIGHT]
    inflight = notify.Inflight(memory[0]) if memory else notify.Inflight.new()
    listeners = {each.fd: number_of(each.name) for each in handed if number_of(each.name)}
    left = inflight.left
    poll = select.epoll()
    for fd, number in listeners.items():
        if left and left[0] == number:
            notify.proceed(fd, left[1])
        poll.register(fd, select.EPOLLIN)
    while listeners:
        for fd, event in poll.poll():
            if not event & select.EPOLLIN:
                del listeners[fd]
                poll.unregister(fd)  # it may be open elsewhere: then closing is not enough
                posix.close(fd)
            elif call := inflight.receive(fd, listeners[fd]):
                notify.proceed(fd, call.id)
