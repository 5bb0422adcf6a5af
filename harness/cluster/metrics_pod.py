"""The container `metrics` of a cluster's pod, as a process: what a Prometheus scrapes there."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.host.processes import Daemon
from harness.node.install import Installed
from harness.shown import prometheus
from runc_wrap.metrics import metrics_file


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
