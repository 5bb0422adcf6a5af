"""Whether the agent's services answer, and whether the policy in force needs them."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

from runc_wrap.doctor import commands
from runc_wrap.doctor.check_finding import Finding
from runc_wrap.doctor.policy_checks import profiles_in_force
from runc_wrap.doctor.service_checks import units
from runc_wrap.host import systemd
from runc_wrap.hotpath import agent_probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.node.paths import Places

NAME = "agent"
_SECONDS = 3.0  # the service answers one create after the other
_PAUSE = 1.0  # seconds, in which systemd starts a service again that just ended
_RESTART = "see its log, and restart it"
_TAKE = "start runc-wrap-observe, for which systemd keeps their listeners"
_TAKE_ANYWAY = (
    "nobody keeps their listeners if the service ends, so start it with "
    "--without-descriptor-store if it shall take them all the same, or change the mode"
)


def find(places: Places) -> Iterator[Finding]:
    """Find a service that does not answer or does not run; only its user can connect."""
    if not places.agent.exists() or os.access(places.agent, os.X_OK):
        yield from _of_decide(places)
        yield from _of_observe(places)


def _of_decide(places: Places) -> Iterator[Finding]:
    path = places.agent / "decide.sock"
    try:
        answers = _answers(path) or _answers_later(path)
    except PermissionError:
        return
    except (FileNotFoundError, ConnectionRefusedError):
        yield _without("no agent runs", _start(places, "decide"))
    except (TimeoutError, BlockingIOError):  # of a full backlog
        sentence = f"the agent behind {path} does not answer: each create waits 0.1 s for it"
        yield _restarted(sentence)
    except OSError as error:
        why = f"no agent can be reached at {path} ({error.strerror or error})"
        yield _without(why, "install in a directory with a shorter path, if the path is too long")
    else:
        if not answers:
            sentence = f"the agent behind {path} closes connections: creates are decided without it"
            yield _restarted(sentence)


def _without(why: str, remedy: str) -> Finding:
    cost = f"{why}: each create starts Python and takes some milliseconds longer"
    advice = f"{remedy}; or nothing, since it is optional"
    return Finding(NAME, "note", cost, advice, units.start("decide"))


def _restarted(sentence: str) -> Finding:
    return Finding(NAME, "warning", sentence, _RESTART, units.restart("decide"))


def _of_observe(places: Places) -> Iterator[Finding]:
    is_used = "observe" in profiles_in_force.modes(places)
    if is_used and not agent_probe.has_agent(str(places.notify)):
        sentence = "the mode observe is in force, but no agent takes listeners: it becomes audit"
        remedy = _start(places, "observe", _TAKE) if systemd.is_booted() else _TAKE_ANYWAY
        yield Finding(NAME, "warning", sentence, remedy, units.start("observe"))


def _start(places: Places, name: str, usual: str = "start it") -> str:
    """Return how a service is started; systemd may run this machine and not know it."""
    if units.is_installed(name) or not systemd.is_booted():
        return usual
    return f"{commands.install_again(places)}, which installs its unit"


def _answers_later(path: Path) -> bool:
    time.sleep(_PAUSE)
    return _answers(path)


def _answers(path: Path) -> bool:
    """Send a meaningless request as a launcher would; any answer suffices. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(_SECONDS)
        caller.connect(str(path))
        try:
            caller.send(b"doctor\0")
            return bool(caller.recv(64))
        except (ConnectionResetError, BrokenPipeError):
            return False
