"""After the keeper was killed, the evidence worker, which has all descriptors, takes its place."""

from __future__ import annotations

import posix

from runc_wrap.agent import agent_paths, signals, systemd_protocol
from runc_wrap.agent.supervisor.acceptor import ARRIVALS
from runc_wrap.agent.supervisor.keeper import BOUND, UPSTREAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from runc_wrap.agent.systemd_protocol import Named


def take_over(prefix: str, held: Sequence[Named]) -> NoReturn:
    """Become the keeper; `held` are this worker's descriptors and those that it stored since."""
    signals.hold()
    environment = {
        b"NOTIFY_SOCKET": posix.environ.get(UPSTREAM, b""),
        BOUND: posix.environ.get(BOUND, b""),
    }
    kept = [each for each in held if each.name not in ("keeper", "progress", ARRIVALS)]
    systemd_protocol.become(agent_paths.command(prefix, "keeper"), kept, environment)
