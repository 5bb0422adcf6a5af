"""The container `metrics` of a cluster's pod, as a process: what a Prometheus scrapes there."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.host.processes import Daemon
from harness.shown import prometheus
from runc_wrap.metrics import metrics_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.node.install import Installed


@contextmanager
def running(node: Installed, place: Path, state: str, *, has_agent: bool) -> Iterator[int]:
    """Serve at the port that is yielded: a node's agent, or none, and an installer's state."""
    place.mkdir()
    (place / "state").write_text(state)
    file = (node.prefix / "var" / "metrics" if has_agent else place) / metrics_file.NAME
    port = prometheus.free_port()
    words: list[str | Path] = ["--port", str(port), "--file", file, "--state", place / "state"]
    daemon = Daemon([node.ctl, "cluster", "metrics", *words], place / "log")
    try:
        daemon.wait_ready(lambda: _accepts(port), "the container `metrics`")
        yield port
    finally:
        daemon.stop()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True
