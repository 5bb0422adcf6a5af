"""Whether an agent answers, and whether the policy in force wants one."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from runc_wrap.node.checks import modes
from runc_wrap.node.checks.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.node.places import Places

NAME = "agent"
_SECONDS = 3.0  # the keeper replaces a worker that has hung for two
_START = (
    "systemctl enable --now runc-wrap-agent.socket runc-wrap-agent.service, or without systemd "
    "runc-wrapctl agent"
)


def find(places: Places) -> Iterator[Finding]:
    """Find an agent that does not answer or is not there; only its user can ask."""
    path = places.agent / "decide.sock"
    try:
        _ask(path)
    except PermissionError:
        return
    except (FileNotFoundError, ConnectionRefusedError):
        without = "no agent runs: each create starts Python and takes some milliseconds longer"
        if "observe" in modes.used(places):
            sentence = f"{without}, and the mode observe, which is in force, is audit"
            yield Finding(NAME, "warning", sentence, _START)
        else:
            yield Finding(NAME, "note", without, f"{_START}; or nothing, since it is optional")
    except OSError as error:
        why = error.strerror or str(error)
        sentence = f"the agent behind {path} does not answer ({why}): creates wait for it in vain"
        yield Finding(NAME, "warning", sentence, "see its log, and restart it")


def _ask(path: Path) -> None:
    """Ask as a launcher does, if nonsense: any answer will do. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.settimeout(_SECONDS)
        caller.connect(str(path))
        caller.send(b"doctor\0")
        if not caller.recv(64):
            raise OSError(0, "it hung up")
