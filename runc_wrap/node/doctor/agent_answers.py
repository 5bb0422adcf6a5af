"""Whether an agent answers, and whether the policy in force needs one."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from runc_wrap.node.doctor import modes_available, units
from runc_wrap.node.doctor.check_finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.node.paths import Places

NAME = "agent"
_SECONDS = 3.0  # the keeper replaces a worker that has hung for two
_PAUSE = 1.0  # seconds, in which the keeper replaces it and closes all connections
_RESTART = "see its log, and restart it"
_START = (
    "systemctl enable --now runc-wrap-decide.socket runc-wrap-decide.service, or without systemd "
    "runc-wrapctl agent decide"
)


def find(places: Places) -> Iterator[Finding]:
    """Find an agent that does not answer or does not run; only its user can connect."""
    path = places.agent / "decide.sock"
    try:
        answers = _answers(path) or _answers_later(path)
    except PermissionError:
        return
    except (FileNotFoundError, ConnectionRefusedError):
        yield _without(places, "no agent runs", _START)
    except (TimeoutError, BlockingIOError):  # of a full backlog
        sentence = f"the agent behind {path} does not answer: each create waits 0.1 s for it"
        yield _restarted(sentence)
    except OSError as error:
        why = f"no agent can be reached at {path} ({error.strerror or error})"
        yield _without(places, why, "install beneath a shorter path, if the path is too long")
    else:
        if not answers:
            sentence = f"the agent behind {path} closes connections: creates are decided without it"
            yield _restarted(sentence)


def _without(places: Places, why: str, remedy: str) -> Finding:
    cost = f"{why}: each create starts Python and takes some milliseconds longer"
    if "observe" in modes_available.used(places):
        sentence = f"{cost}, and the mode observe, which is in force, becomes audit"
        return Finding(NAME, "warning", sentence, remedy, units.start(places, "observe"))
    advice = f"{remedy}; or nothing, since it is optional"
    return Finding(NAME, "note", cost, advice, units.start(places, "decide"))


def _restarted(sentence: str) -> Finding:
    return Finding(NAME, "warning", sentence, _RESTART, units.restart("decide"))


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
