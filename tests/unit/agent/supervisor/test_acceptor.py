"""The keeper's acceptor without free descriptors."""

from __future__ import annotations

import os
import resource
import socket
import time

from harness.host.processes import short_directory
from runc_wrap.agent.supervisor import acceptor
from runc_wrap.agent.supervisor.acceptor import Acceptor


def test_without_free_descriptors_the_acceptor_pauses_and_then_accepts_waiting_callers() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with short_directory("door") as place, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "notify"))
        listening.listen()
        one = Acceptor({"notify": listening.fileno()})
        with socket.socket(socket.AF_UNIX) as runtime:
            runtime.connect(str(place / "notify"))
            free = os.dup(0)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            try:
                one.admit()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert (one.has_room, len(one.held)) == (False, 1)
            time.sleep(acceptor._SHUT + 0.01)  # noqa: SLF001 - as long as it takes
            assert one.has_room
            one.admit()
            assert len(one.held) == 2
        for name, fd in one.held.items():
            if name != "notify":
                os.close(fd)
        one.close()
