"""Serves a node's metrics in a cluster's pod: the file that the agent writes, and the pod's own.

Whoever reaches the pod may ask: connections are few, and each ends after some seconds.
"""

import contextlib
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from runc_wrap.cluster import next_step
from runc_wrap.failure import Failure
from runc_wrap.host import files
from runc_wrap.metrics.prometheus_series import GAUGE, MetricFamily, text_of

Request = Any  # a socket, which typeshed also lets be a pair


UP, STATE = "runc_wrap_agent_up", "runc_wrap_node_state"
UNKNOWN = "unknown"  # the installer of this pod has said nothing yet
STATES = (*next_step.STATES, UNKNOWN)


def exposition(word: str, *, is_up: bool) -> bytes:
    """Return the text; `word` is the installer's state: whatever is none of STATES is unknown."""
    word = word if word in STATES else UNKNOWN
    up = MetricFamily(UP, GAUGE, "1 if the node's agent writes its metrics.", [({}, is_up)])
    states = [({"state": each}, each == word) for each in STATES]
    return text_of([up, MetricFamily(STATE, GAUGE, "1 for the installer's state, else 0.", states)])


MOST = 16  # connections at a time; more are closed at once
SECONDS = 10.0  # for the request and the answer together
LARGEST = 8 << 20  # bytes of the file: 500 series of each metric, of some 500 bytes
FRESH = 120.0  # seconds: a file that is older is of an agent that has ended or hangs
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LONGEST_WORD = 64  # bytes of a state
GLANCE = 1.0  # seconds between looks at old connections and at the directory


class PodServer(ThreadingHTTPServer):
    """Listens at a port of all addresses, of both families if there are both. Raises OSError.

    It serves until the directory of `file` is removed on the node, and then raises Failure.
    `file` is the agent's, `state` has the installer's state, `say` takes a sentence for the log.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, file: Path, state: Path, say: Callable[[str], None]) -> None:
        self._file, self._state, self._say = file, state, say
        self._said = ""
        self._open: dict[Request, float] = {}  # since when, on the monotonic clock
        if socket.has_dualstack_ipv6():
            self.address_family = socket.AF_INET6
        super().__init__(("", port), _Reply)

    def server_bind(self) -> None:
        """Bind, for both families."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def service_actions(self) -> None:
        """Hang up on clients that take too long. Raises Failure."""
        for request, since in [*self._open.items()]:
            if time.monotonic() - since > SECONDS:
                with contextlib.suppress(OSError):  # it has ended
                    request.shutdown(socket.SHUT_RDWR)
        if not self._file.parent.stat().st_nlink:
            raise Failure(f"{self._file.parent} was removed: this container starts anew.")

    def process_request(self, request: Request, client_address: object) -> None:
        """Answer in a thread of its own, if there is room."""
        if len(self._open) >= MOST:
            super().shutdown_request(request)
            return
        self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Request) -> None:
        """End a connection."""
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Request, client_address: object) -> None:
        """Say nothing about clients that hang up."""

    def text(self) -> bytes:
        """Return the metrics: the file's, unless it is too old, and the pod's own."""
        found, why = self._found()
        if why != self._said:
            self._said = why
            self._say(why or f"{self._file}: the agent's metrics come again")
        state = (files.text(self._state, _LONGEST_WORD) or "").strip()
        return found + exposition(state, is_up=not why)

    def _found(self) -> tuple[bytes, str]:
        """Return the file's text, and why there is none, "" if there is."""
        try:
            age = time.time() - self._file.stat().st_mtime
            if age > FRESH:
                return b"", f"{self._file} was written {age:.0f} s ago: the agent does not write it"
            return files.read(self._file, LARGEST), ""
        except (OSError, ValueError) as error:
            return b"", f"{self._file}: {getattr(error, 'strerror', None) or error}"


class _Reply(BaseHTTPRequestHandler):
    """One request: GET /metrics."""

    timeout = SECONDS
    server: PodServer

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, "only /metrics is served")
            return
        body = self.server.text()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        return "runc-wrap"

    def log_message(self, *_: object) -> None:
        """Write no line for each scrape."""
