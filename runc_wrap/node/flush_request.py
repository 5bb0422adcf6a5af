"""Requesting the agent to write its evidence before it is read, and until when that is complete.

A command waits for SECONDS at most, whatever the agent does: it may be stopped, hang, be replaced
at that moment, or not run.
"""

import _socket
import time
from contextlib import closing
from typing import NamedTuple

from runc_wrap import time_text
from runc_wrap.node.paths import Places

SECONDS = 2.0
_SOCKET, _VERSION = "evidence.sock", "runc-wrap/1"  # as agent.record.flush_answers has them
_AGAIN = 0.05  # seconds until the next attempt, if the service is being replaced
_SILENT = "the agent did not answer"
_LARGEST = 256


class FlushAnswer(NamedTuple):
    """`why`: the reason why not all earlier calls are written, "" if all are.

    `until` is the time up to which they are, None if unknown.
    """

    why: str
    until: float | None = None
    is_absent: bool = False  # no agent listens, or we may not connect to it

    def note(self, looked_until: float) -> str:
        """Return a note on until when the store is complete, "" if it is or was never written."""
        until = time_text.rfc3339(self.until or looked_until) if looked_until else None
        return f"as of {until}: {self.why}" if self.why and until else ""


def ask(places: Places, seconds: float = SECONDS) -> FlushAnswer:
    """Make the agent write all calls up to now, and wait for that."""
    asked = time.time()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            received = _received(str(places.agent / _SOCKET), left)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return FlushAnswer("no agent runs", is_absent=True)
        except PermissionError:
            return FlushAnswer("", is_absent=True)  # only root may connect
        except OSError:  # including TimeoutError
            received = b""
        until = _until(received)
        if until is not None:
            is_complete = until >= asked
            return FlushAnswer(
                "" if is_complete else "the agent could not write all in time", until
            )
        time.sleep(max(min(_AGAIN, end - time.monotonic()), 0.0))
    return FlushAnswer(f"{_SILENT} within {seconds:g} seconds")


def _received(path: str, seconds: float) -> bytes:
    with closing(_socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)) as asking:
        asking.settimeout(seconds)
        asking.connect(path)
        return asking.recv(_LARGEST)


def _until(received: bytes) -> float | None:
    fields = received.decode("ascii", "replace").split("\0")
    try:
        return float(fields[1]) if fields[0] == _VERSION else None
    except (IndexError, ValueError):
        return None
