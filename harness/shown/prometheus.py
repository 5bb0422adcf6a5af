"""A Prometheus of its own on loopback, that scrapes one port each second, and what it scrapes."""

import contextlib
import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.host.processes import Daemon, free_port
from harness.node.install import Installed
from harness.node.requirements import program
from runc_wrap.metrics import metrics_file

Json = dict[str, Any]

_PATIENCE = 30  # seconds for an answer


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return an instant query's samples. Raises AssertionError if it is refused."""
        place = f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        found: list[dict[str, Any]] = self._data(place)["result"]
        return found

    def label_values(self, metric: str, label: str) -> list[str]:
        """Return the values that a metric's label has, as Grafana lists them for a variable."""
        words = urllib.parse.urlencode({"match[]": metric})
        found: list[str] = self._data(f"/api/v1/label/{label}/values?{words}")
        return found

    def _data(self, place: str) -> Any:
        try:
            with urllib.request.urlopen(self.url + place, timeout=_PATIENCE) as answer:  # noqa: S310 - loopback's
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            document = json.load(error)
        assert document["status"] == "success", document
        return document["data"]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:  # noqa: S310 - loopback's
                return bool(answer.status == 200)
        except OSError:
            return False


def job(name: str, scraped: int, labels: dict[str, str], relabelings: list[Json]) -> Json:
    """Return a scrape configuration for a port of loopback, discovered with these labels."""
    target = {"targets": [f"127.0.0.1:{scraped}"], "labels": labels}
    return {"job_name": name, "static_configs": [target], "relabel_configs": relabelings}


@contextlib.contextmanager
def running(
    directory: Path, scraped: int, seconds: int = 1, jobs: list[Json] | None = None
) -> Iterator[Prometheus]:
    """Run one that scrapes this port of loopback, or these jobs; its data is in `directory`."""
    every = {"scrape_interval": f"{seconds}s", "scrape_timeout": f"{seconds}s"}
    wanted = {"global": every, "scrape_configs": jobs or [job("runc-wrap", scraped, {}, [])]}
    (directory / "prometheus.yml").write_text(json.dumps(wanted))  # which is YAML, too
    server = Prometheus(f"http://127.0.0.1:{free_port()}")
    words = [program("prometheus"), "--log.level=warn", f"--storage.tsdb.path={directory}/data"]
    words.append(f"--config.file={directory}/prometheus.yml")
    words.append(f"--web.listen-address={server.url.removeprefix('http://')}")
    with Daemon(words, directory / "prometheus.log") as daemon:
        daemon.wait_ready(server.is_ready, "Prometheus")
        yield server


@contextlib.contextmanager
def metrics_pod(node: Installed, place: Path, state: str, *, has_agent: bool) -> Iterator[int]:
    """Run the container `metrics` of a cluster's pod as a process; yield its port.

    It serves a node's agent, or none, and an installer's state.
    """
    place.mkdir()
    (place / "state").write_text(state)
    file = (node.prefix / "var" / "metrics" if has_agent else place) / metrics_file.NAME
    port = free_port()
    words: list[str | Path] = ["--port", str(port), "--file", file, "--state", place / "state"]
    with Daemon([node.ctl, "cluster", "metrics", *words], place / "log") as daemon:
        daemon.wait_ready(lambda: _accepts(port), "the container `metrics`")
        yield port


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True
