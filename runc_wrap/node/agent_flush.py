"""Until when the agent's store tells what was called: it is asked to write before it is read.

A command waits for SECONDS at most, whatever the agent does: it may be stopped, hang, be replaced
in that very moment, or not be there.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.evidence.store import coverage

if TYPE_CHECKING:
    from runc_wrap.node.paths import Places

SECONDS = 2.0
_SOCKET, _VERSION = "evidence.sock", "runc-wrap/1"  # as agent.record.write_requests has them
_AGAIN = 0.05  # seconds after a worker that was replaced
_SILENT = "the agent did not answer"
_LARGEST = 256


class Answer(NamedTuple):
    """`why` says why not all is written that was called before the question, "" if all is.

    `until` is when it was written, None where that is not known.
    """

    why: str
    until: float | None = None
    is_nobody: bool = False  # no agent listens, or none that may be asked

    def note(self, looked_until: float) -> str:
        """Return until when the store knows, "" where it knows all or nobody ever looked."""
        until = coverage.rfc3339(self.until or looked_until) if looked_until else None
        return f"as of {until}: {self.why}" if self.why and until else ""


def ask(places: Places, seconds: float = SECONDS) -> Answer:
    """Have the agent write what was called by now, and wait for that."""
    asked = time.time()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            said = _said(str(places.agent / _SOCKET), left)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return Answer("no agent runs", is_nobody=True)
        except PermissionError:
            return Answer("", is_nobody=True)  # it is root's to ask
        except OSError:  # TimeoutError among them
            said = b""
        until = _until(said)
        if until is not None:
            is_whole = until >= asked
            return Answer("" if is_whole else "the agent could not write all in time", until)
        time.sleep(max(min(_AGAIN, end - time.monotonic()), 0.0))
    return Answer(f"{_SILENT} within {seconds:g} seconds")


def _said(path: str, seconds: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.settimeout(seconds)
        asking.connect(path)
        return asking.recv(_LARGEST)


def _until(said: bytes) -> float | None:
    fields = said.decode("ascii", "replace").split("\0")
    try:
        return float(fields[1]) if fields[0] == _VERSION else None
    except (IndexError, ValueError):
        return None
