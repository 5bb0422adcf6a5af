"""The server of a cluster's pod: its gauges, what it serves, and its bounds."""

import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from runc_wrap.failure import Failure
from runc_wrap.metrics import pod_server
from runc_wrap.metrics.pod_server import STATES, PodServer

NO_STATES = ["", "ready\n", "Ready", 'x"} 1\nup 1', "\x1b[31m"]


@pytest.mark.parametrize("word", [*STATES, *NO_STATES])
def test_one_state_is_the_nodes_and_what_is_none_is_unknown(word: str) -> None:
    is_state = word in STATES
    text = pod_server.exposition(word, is_up=is_state).decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    found: dict[str, str] = dict(lines)
    assert found.pop("runc_wrap_agent_up") == ("1.0" if is_state else "0.0")
    state = word if is_state else "unknown"
    assert [name for name, value in found.items() if value != "0.0"] == [
        f'runc_wrap_node_state{{state="{state}"}}'
    ]
    assert len(found) == len(STATES)


METRICS = b"# TYPE runc_wrap_x gauge\nrunc_wrap_x 1.0\n"


class Served:
    def __init__(self, directory: Path) -> None:
        self.said: list[str] = []
        self.file = directory / "node" / "runc-wrap.prom"
        self.file.parent.mkdir()
        self.file.write_bytes(METRICS)
        (directory / "state").write_text("ready\n")
        self.server = PodServer(0, self.file, directory / "state", self.said.append)
        self.port = int(self.server.server_address[1])
        self.ended: list[str] = []

    def run(self) -> None:
        try:
            self.server.serve_forever(pod_server.GLANCE)
        except Failure as error:
            self.ended.append(str(error))

    def get(self, path: str = "/metrics") -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            assert answer.headers["Content-Type"] == pod_server.CONTENT_TYPE
            found: bytes = answer.read()
            return found


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(pod_server, "GLANCE", 0.05)
    made = Served(tmp_path)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize("why", ["old", "missing", "large"])
def test_what_no_agent_writes_is_not_served_and_the_log_says_why_once(
    served: Served, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "old":
        os.utime(served.file, (0, time.time() - pod_server.FRESH - 60))
    elif why == "missing":
        served.file.unlink()
    else:
        monkeypatch.setattr(pod_server, "LARGEST", 10)
    for _ in range(2):
        found = served.get()
        assert b"runc_wrap_x" not in found
        assert b"\nrunc_wrap_agent_up 0.0\n" in found
    (said,) = served.said
    assert str(served.file) in said


def test_only_the_metrics_are_served(served: Served) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        served.get("/tally.json")


def test_idle_connections_are_few_and_end(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_server, "SECONDS", 1.0)
    address = ("127.0.0.1", served.port)
    idle = [socket.create_connection(address, 10) for _ in range(pod_server.MOST)]
    time.sleep(0.3)
    with socket.create_connection(address, 10) as one_more:
        assert one_more.recv(1) == b""
    for one in idle:
        with one:
            one.send(b"G")
            assert one.recv(100) == b""
    assert served.get()


def test_it_ends_with_a_removed_directory(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.file.unlink()
    held = os.open(served.file.parent, os.O_RDONLY)
    directory = f"/proc/self/fd/{held}"  # as a mount goes on showing it
    monkeypatch.setattr(served.server, "_file", Path(directory) / "runc-wrap.prom")
    served.file.parent.rmdir()
    until = time.monotonic() + 10
    while not served.ended and time.monotonic() < until:
        time.sleep(0.02)
    os.close(held)
    assert "was removed: this container starts anew" in served.ended[0]
