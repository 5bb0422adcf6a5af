"""What a scrape of a cluster's pod gets, from agents that answer, badly or not at all."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent.metrics_http import pod_relay
from runc_wrap.agent.metrics_http.pod_relay import CutOff, NoAnswer, Relay, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

METRICS = b'runc_wrap_build_info{version="1"} 1.0\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"


def _whole(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


class StandIn:
    """An agent: `answers` sends what one connection gets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[bytes] = []
        self.answers: Callable[[socket.socket], None] = lambda one: one.sendall(_whole(METRICS))

    def serve(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = listening.accept()
                with one, contextlib.suppress(OSError):
                    self.asked.append(one.recv(4096))
                    self.answers(one)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[StandIn]:
    (tmp_path / "agent").mkdir()
    made = StandIn(tmp_path / "agent" / "http.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(made.path))
        listening.listen()
        thread = threading.Thread(target=made.serve, args=(listening,))
        thread.start()
        yield made
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_the_agents_metrics_come_as_they_are(agent: StandIn) -> None:
    assert ask(agent.path) == METRICS
    assert agent.asked == [b"GET /metrics HTTP/1.0\r\n\r\n"]  # and so Prometheus' text, 0.0.4


BAD = {
    "another status": (b"HTTP/1.1 500 Internal Server Error\r\n\r\nno", "500 Internal Server"),
    "no HTTP": (b"\x1b[31mhello", r"begins with '\\x1b\[31mhello', not with the status 200"),
    "nothing": (b"", "begins with ''"),
    "no length": (HEAD + b"\r\n" + METRICS, "ends after 38 bytes"),
    "the end is missing": (_whole(METRICS)[:-1], "ends after 37 bytes, which is not its length"),
    "too much": (_whole(b"x" * 5000), "larger than 4096 bytes"),
}


@pytest.mark.parametrize("kind", BAD)
def test_an_answer_that_is_not_whole_is_none(agent: StandIn, kind: str) -> None:
    sent, why = BAD[kind]
    agent.answers = lambda one: one.sendall(sent)
    with pytest.raises(NoAnswer, match=why):
        ask(agent.path, largest=4096)


def test_an_agent_that_sends_a_byte_now_and_then_is_not_waited_for(agent: StandIn) -> None:
    def drip(one: socket.socket) -> None:
        for byte in HEAD + HEAD:
            one.sendall(bytes([byte]))
            time.sleep(0.05)

    agent.answers = drip
    begun = time.monotonic()
    with pytest.raises(NoAnswer, match=r"does not answer within 0\.3 s"):
        ask(agent.path, seconds=0.3)
    assert time.monotonic() - begun < 2


def test_without_an_agent_it_says_which_socket(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match=r"http\.sock: No such file or directory"):
        ask(tmp_path / "http.sock")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def relay(agent: StandIn, tmp_path: Path, told: list[str]) -> Relay:
    (tmp_path / "state").write_text("ready")
    return Relay(agent.path, tmp_path / "state", told.append)


def test_the_pods_gauges_stand_beneath_the_agents_metrics(relay: Relay) -> None:
    text = relay.text()
    assert text.startswith(METRICS + b"# HELP runc_wrap_agent_up ")
    assert b"\nrunc_wrap_agent_up 1.0\n" in text
    assert b'\nrunc_wrap_node_state{state="ready"} 1.0\n' in text


def test_a_text_without_a_last_newline_gets_one(relay: Relay, agent: StandIn) -> None:
    agent.answers = lambda one: one.sendall(_whole(METRICS[:-1]))
    assert relay.text().startswith(METRICS + b"# HELP")


def test_scrapes_at_the_same_time_and_in_the_second_after_ask_the_agent_once(
    relay: Relay, agent: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_relay, "KEPT", 30.0)
    relay.text()
    relay._until = 0.0  # noqa: SLF001 - the second is over
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(relay.text())) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [relay.text()] * 8
    assert len(agent.asked) == 2


def test_an_agent_that_goes_away_and_comes_back_is_told_once_each(
    relay: Relay, agent: StandIn, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_relay, "KEPT", 0.0)
    texts = []
    for answer in (_whole(METRICS), b"no", b"no", _whole(METRICS)):
        agent.answers = lambda one, answer=answer: one.sendall(answer)  # type: ignore[misc]  # bound now
        texts.append(relay.text())
    assert [b"build_info" in text for text in texts] == [True, False, False, True]
    assert [b"\nrunc_wrap_agent_up 1.0\n" in text for text in texts] == [True, False, False, True]
    assert b'{state="ready"} 1.0' in texts[1]
    assert [line.partition(":")[0] for line in told] == [
        "the agent gives its metrics",
        "no metrics of the agent",
        "the agent gives its metrics",
    ]


@pytest.mark.parametrize("kind", ["missing", "a FIFO", "too long", "not ASCII"])
def test_a_state_that_cannot_be_read_is_unknown(relay: Relay, tmp_path: Path, kind: str) -> None:
    (tmp_path / "state").unlink()
    if kind == "a FIFO":
        os.mkfifo(tmp_path / "state")
    elif kind != "missing":
        text = "ready".ljust(100) if kind == "too long" else "ready\u00e9"
        (tmp_path / "state").write_text(text)
    assert b'\nrunc_wrap_node_state{state="unknown"} 1.0\n' in relay.text()


def test_it_notices_that_its_directory_was_removed(relay: Relay, agent: StandIn) -> None:
    """A mounted one is still there then, as this one is by its descriptor."""
    mounted = os.open(agent.path.parent, os.O_RDONLY | os.O_DIRECTORY)
    seen = Relay(agent.path.parents[1] / "none" / "http.sock", agent.path, print)
    assert not relay.is_cut_off()
    assert not seen.is_cut_off()  # it may come
    in_pod = Relay(agent.path.__class__(f"/proc/self/fd/{mounted}/http.sock"), agent.path, print)
    assert not in_pod.is_cut_off()
    agent.path.unlink()
    agent.path.parent.rmdir()
    assert in_pod.is_cut_off()
    os.close(mounted)
    assert "is started again" in str(CutOff(agent.path.parent))
