"""The program that answers one scrape: HTTP on standard input's socket, then it ends.

Whatever the other side does, it is over after _ASKING and DEADLINE.
"""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from prometheus_client import MetricsHandler

from runc_wrap.evidence import metrics
from runc_wrap.node import metrics as node_metrics
from runc_wrap.node.places import Places

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

DEADLINE = 10  # seconds for the answer
_ASKING = 2  # seconds for the whole request to be here
_SILENCE = 2.0  # seconds without a byte from the other side


def main(prefix: str) -> None:
    """Answer the one request on descriptor 0."""
    signal.alarm(_ASKING)
    with socket.socket(fileno=0) as connection, suppress(OSError):
        connection.settimeout(_SILENCE)
        _Answer(connection, Places(Path(prefix)))


class _Answer(MetricsHandler):
    """GET /metrics by prometheus_client's own handler, which also knows OpenMetrics and gzip."""

    timeout = _SILENCE
    default_request_version = "HTTP/1.0"  # an answer to nonsense has a status line too

    def __init__(self, connection: socket.socket, places: Places) -> None:
        self._places = places
        super().__init__(connection, ("", 0), None)  # type: ignore[arg-type]  # no server

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        """Answer with the metrics; 500 where ledger or store cannot be read."""
        signal.alarm(DEADLINE)
        if urlsplit(self.path).path != "/metrics":
            self.send_error(404, "there is /metrics")
            return
        try:
            self.registry: CollectorRegistry = metrics.registry(node_metrics.gather(self._places))
        except OSError as error:
            self.send_error(500, error.strerror or "cannot be read")
            return
        super().do_GET()

    def version_string(self) -> str:
        """Name no versions of Python."""
        return "runc-wrap"
