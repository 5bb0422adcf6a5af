"""Whether the agent's services answer, and whether the policy in force needs them."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from runc_wrap.doctor import remedies
from runc_wrap.doctor.policy_checks import profiles_in_force
from runc_wrap.doctor.remedies import Finding
from runc_wrap.host import systemd
from runc_wrap.hotpath import agent_probe
from runc_wrap.installation import services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.node.paths import Places

NAME = "agent"
_SECONDS = 3.0  # the service answers one create after the other
_PAUSE = 1.0  # seconds, in which systemd starts a service again that just ended


def find(places: Places) -> Iterator[Finding]:
    """Find a service that does not answer or does not run; only its user can connect."""
    if not places.agent.exists() or os.access(places.agent, os.X_OK):
        yield from _of_decide(places)
        yield from _of_observe(places)


def _of_decide(places: Places) -> Iterator[Finding]:
    path = places.agent / "decide.sock"
    try:
        answers = _answers(path) or _answers(path, after=_PAUSE)
    except PermissionError:
        return
    except (TimeoutError, BlockingIOError):  # of a full backlog
        answers = False
    except OSError as error:
        cost = (
            f"no agent can be reached at {path} ({error.strerror or error}): each create starts "
            "Python and takes some milliseconds longer"
        )
        remedy = f"{_start(places, 'decide')}; or nothing, since it is optional"
        yield Finding(NAME, "note", cost, remedy, remedies.start_service("decide"))
        return
    if not answers:
        sentence = f"the agent behind {path} gives no answer: each create waits 0.1 s for it"
        remedy = "see its log, and restart it"
        yield Finding(NAME, "warning", sentence, remedy, remedies.restart_service("decide"))


def _of_observe(places: Places) -> Iterator[Finding]:
    is_used = "observe" in profiles_in_force.modes(places)
    if is_used and not agent_probe.has_agent(str(places.notify)):
        sentence = (
            "the policy observes or records, but no agent takes listeners: nothing is recorded, "
            "and observe becomes audit, or enforce where a candidate is looked at"
        )
        remedy = (
            f"{_start(places, 'observe')}; outside of systemd, which keeps their listeners, with "
            "--without-descriptor-store; or change the mode"
        )
        yield Finding(NAME, "warning", sentence, remedy, remedies.start_service("observe"))


def _start(places: Places, name: str) -> str:
    """Return how a service is started; systemd may run this machine and not know it."""
    if services.is_known(name) or not systemd.is_booted():
        return "start it"
    return f"{remedies.install_again(places)}, which installs its unit"


def _answers(path: Path, after: float = 0.0) -> bool:
    """Send a meaningless request as a launcher would; any answer suffices. Raises OSError."""
    time.sleep(after)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(_SECONDS)
        caller.connect(str(path))
        try:
            caller.send(b"doctor\0")
            return bool(caller.recv(64))
        except (ConnectionResetError, BrokenPipeError):
            return False
