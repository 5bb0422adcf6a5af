"""What a scrape of a cluster's pod gets: the metrics of the node's agent, and the pod's own.

The agent is asked over its socket for pods, within bounds, and at most once a second.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from typing import TYPE_CHECKING

from runc_wrap.host import files
from runc_wrap.metrics import pod_series

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEPT = 1.0  # seconds
SECONDS = 8.0  # for the agent's whole answer: Prometheus waits for ten, and is told of its absence
LARGEST = 8 << 20  # bytes of it: 500 series of each metric, of some 500 bytes
_LONGEST_WORD = 64  # bytes of a state
_PIECE = 64 << 10
# Without Accept the agent answers in Prometheus' text; after OpenMetrics' end nothing may follow.
_REQUEST = b"GET /metrics HTTP/1.0\r\n\r\n"
_OK = re.compile(rb"HTTP/1\.[01] 200 ")
_LENGTH = re.compile(rb"\r\nContent-Length: (\d{1,9})(?=\r\n|$)", re.IGNORECASE)


class NoAnswer(Exception):
    """The agent gave no usable answer; the message says why."""


class CutOff(Exception):
    """The directory of the agent's socket is not the node's any more."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            f"{directory} was removed on the node: this container ends, and is started again with "
            "the one that is there then."
        )


def ask(path: Path, seconds: float = SECONDS, largest: int = LARGEST) -> bytes:
    """Return the metrics that an agent serves at this socket. Raises NoAnswer."""
    until = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.settimeout(seconds)
            asked.connect(str(path))
            asked.sendall(_REQUEST)
            return _body(_received(asked, until, largest))
        except TimeoutError:
            raise NoAnswer(f"{path}: the agent does not answer within {seconds:g} s") from None
        except OSError as error:
            raise NoAnswer(f"{path}: {error.strerror}") from None


def _received(asked: socket.socket, until: float, largest: int) -> bytes:
    """Return all that comes. Raises NoAnswer and OSError."""
    parts: list[bytes] = []
    size = 0
    while size <= largest:
        asked.settimeout(max(until - time.monotonic(), 0.001))
        part = asked.recv(_PIECE)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
    raise NoAnswer(f"the agent's answer is larger than {largest} bytes")


def _body(answer: bytes) -> bytes:
    """Return what follows the head. Raises NoAnswer unless it is whole, and metrics."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not _OK.match(head):
        shown = ascii(head.partition(b"\r\n")[0][:_LONGEST_WORD].decode("latin-1"))
        raise NoAnswer(f"the agent's answer begins with {shown}, not with the status 200")
    length = _LENGTH.search(head)
    if length is None or int(length[1]) != len(body):
        raise NoAnswer(f"the agent's answer ends after {len(body)} bytes, which is not its length")
    return body if body.endswith(b"\n") or not body else body + b"\n"


class Relay:
    """The text for a scrape; threads may ask for it at the same time.

    `agent` is its socket, `state` the file of the installer's word. `tell` gets a sentence whenever
    the agent begins to answer, or does not any more.
    """

    def __init__(self, agent: Path, state: Path, tell: Callable[[str], None]) -> None:
        self._agent = agent
        self._state = state
        self._tell = tell
        self._lock = threading.Lock()
        self._text = b""
        self._until = 0.0  # on the monotonic clock, until which the text may be given again
        self._why: str | None = None  # why the agent gave nothing, "" if it did, None at first

    def text(self) -> bytes:
        """Return Prometheus' text format, version 0.0.4."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._text = self._made()
                self._until = time.monotonic() + KEPT
            return self._text

    def is_cut_off(self) -> bool:
        """Tell whether the socket's directory was removed: whoever makes it anew makes another."""
        try:
            return self._agent.parent.stat().st_nlink == 0
        except OSError:
            return False

    def _made(self) -> bytes:
        try:
            served, why = ask(self._agent), ""
        except NoAnswer as error:
            served, why = b"", str(error)
        if why != self._why:
            self._tell(f"no metrics of the agent: {why}" if why else "the agent gives its metrics")
            self._why = why
        return served + pod_series.exposition(pod_series.PodSeries(self._word(), is_up=not why))

    def _word(self) -> str:
        try:
            return files.read(self._state, _LONGEST_WORD).decode("ascii", "replace").strip()
        except (OSError, ValueError):
            return ""
