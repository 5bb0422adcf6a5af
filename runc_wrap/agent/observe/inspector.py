"""The program that reads callers in /proc, so that the service observe never blocks there.

It reads questions on standard input, one at a time, and reports how long each took. If it blocks,
the service goes on after a bound and starts another one. It loads this module and little else.

Questions: QUESTION. Answers: marshal of (number, (pid, uid, comm, exe), the memory asked for, (how
many filters the thread carries, its tracer) if asked for, seconds). The first answer, of number 0,
means that it is ready.
"""

from __future__ import annotations

import _socket
import marshal
import resource
import time

from runc_wrap.agent.observe import caller_lookup, pointed_arguments
from runc_wrap.agent.observe.inspector_client import COMPAT, NATIVE, PURPOSE, QUESTION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.agent.observe.inspector_client import PointedAt

_SLOW = 0.001  # seconds


def main(_prefix: str) -> None:
    """Answer until the service closes the channel."""
    channel = _socket.socket(fileno=0)
    channel.send(marshal.dumps((0, (0, 0, "", ""), None, None, 0.0)))
    while question := channel.recv(QUESTION.size):
        number, tid, address, what, asks_standing = QUESTION.unpack(question)
        slept, begun, used = _slept(), time.monotonic(), time.process_time()
        found = caller_lookup.look(tid)
        pointed_at = _pointed_at(tid, address, what)
        standing = caller_lookup.standing(tid) if asks_standing else None
        taken = time.monotonic() - begun
        if taken > _SLOW and _slept() == slept:  # it merely had no CPU
            taken = time.process_time() - used
        caller = (found.pid, found.uid, found.comm, found.exe)
        channel.send(marshal.dumps((number, caller, pointed_at, standing, taken)))


def _pointed_at(tid: int, address: int, what: int) -> PointedAt:
    if what == PURPOSE:
        return pointed_arguments.purpose(tid, address)
    if what in (NATIVE, COMPAT):
        return pointed_arguments.program(tid, address, compat=what == COMPAT)
    return None


def _slept() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
