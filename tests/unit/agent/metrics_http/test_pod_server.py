"""A port of a cluster's pod: whoever reaches it takes room only from itself, and not for long."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent.metrics_http import pod_server
from runc_wrap.agent.metrics_http.pod_server import MOST, MOST_OF_ONE, PodServer
from tests.unit.agent.metrics_http.test_http_server import answer, ask, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = b"runc_wrap_agent_up 1.0\n"
GET = b"GET /metrics HTTP/1.1\r\nHost: 10.0.0.7:9556\r\n\r\n"


class Scene:
    """A server in a thread; `text` is what an answer has."""

    def __init__(self) -> None:
        self.text = TEXT
        self.made = 0
        self.listening = pod_server.listen(0)
        self.port = int(self.listening.getsockname()[1])
        self.server = PodServer(self.listening, self._make)
        self.is_over = threading.Event()

    def _make(self) -> bytes:
        self.made += 1
        return self.text

    def connected(self, address: str = "127.0.0.1") -> socket.socket:
        """Return a connection from an address of loopback."""
        return socket.create_connection(("127.0.0.1", self.port), 30, (address, 0))

    def scraped(self, address: str = "127.0.0.1") -> bytes:
        """Return the first line of an answer."""
        with closing(self.connected(address)) as client:
            client.sendall(GET)
            return first_line(answer(client))


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(pod_server, "_GLANCE", 0.05)
    found = Scene()
    thread = threading.Thread(target=found.server.serve, args=(found.is_over.is_set,))
    thread.start()
    yield found
    found.is_over.set()
    thread.join()
    found.listening.close()


def test_a_scrape_gets_the_text_in_prometheus_own_format(scene: Scene) -> None:
    head, _, body = ask(scene.port, GET).partition(b"\r\n\r\n")
    assert body == TEXT
    assert first_line(head) == b"HTTP/1.1 200 OK"
    assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
    assert b"Content-Length: %d" % len(TEXT) in head


def test_it_listens_for_both_families(scene: Scene) -> None:
    with closing(socket.create_connection(("::1", scene.port), 30)) as client:
        client.sendall(GET)
        assert first_line(answer(client)) == b"HTTP/1.1 200 OK"


def test_where_there_is_no_ipv6_it_listens_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with pod_server.listen(0) as listening:
        assert listening.family == socket.AF_INET


REFUSED = {
    b"GET / HTTP/1.1\r\n\r\n": b"404",
    b"POST /metrics HTTP/1.1\r\n\r\n": b"405",
    b"hello\r\n\r\n": b"400",
    b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 9000: b"431",
}


@pytest.mark.parametrize("request_text", REFUSED)
def test_what_cannot_be_served_asks_nobody(scene: Scene, request_text: bytes) -> None:
    assert first_line(ask(scene.port, request_text)).split()[1] == REFUSED[request_text]
    assert scene.made == 0


def test_idle_connections_of_one_address_keep_nobody_else_out(scene: Scene) -> None:
    with ExitStack() as idle:
        for _ in range(MOST_OF_ONE):
            idle.enter_context(closing(scene.connected()))
        time.sleep(0.2)
        assert scene.scraped() == b"HTTP/1.1 503 Service Unavailable"
        assert scene.scraped("127.0.0.2") == b"HTTP/1.1 200 OK"


def test_there_are_so_many_connections_at_a_time_and_no_more(scene: Scene) -> None:
    with ExitStack() as idle:
        for number in range(MOST):
            idle.enter_context(closing(scene.connected(f"127.0.1.{number}")))
        time.sleep(0.2)
        assert scene.scraped() == b"HTTP/1.1 503 Service Unavailable"
    time.sleep(0.2)
    assert scene.scraped() == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("request_text", [b"", GET])
def test_many_addresses_that_hold_connections_keep_a_scraper_out_for_a_moment_only(
    scene: Scene, request_text: bytes
) -> None:
    scene.text = b"x" * (32 << 20)  # more than sockets hold
    with ExitStack() as held:
        for number in range(MOST):
            client = held.enter_context(closing(scene.connected(f"127.0.1.{number}")))
            client.sendall(request_text)
        time.sleep(pod_server.READING + 0.2)
        scene.text = TEXT
        for _ in range(MOST // 2):
            assert scene.scraped() == b"HTTP/1.1 200 OK"


def test_a_client_that_sends_slowly_is_closed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_server, "HEAD_SECONDS", 0.4)
    sent = 0
    with closing(scene.connected()) as client, contextlib.suppress(OSError):
        for byte in GET[:-2] + b"X: " + b"x" * 60:
            client.sendall(bytes([byte]))
            sent += 1
            time.sleep(0.05)
    assert sent < len(GET)
    assert scene.made == 0
    assert scene.scraped() == b"HTTP/1.1 200 OK"


def test_a_client_that_reads_nothing_is_closed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_server, "ANSWER_SECONDS", 0.3)
    scene.text = b"x" * (32 << 20)  # more than sockets hold
    with ExitStack() as clients:
        for _ in range(MOST_OF_ONE):
            clients.enter_context(closing(scene.connected())).sendall(GET)
        time.sleep(1.0)
        scene.text = TEXT
        assert scene.scraped() == b"HTTP/1.1 200 OK"


def test_one_that_no_thread_can_serve_leaves_its_place(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(MOST_OF_ONE + 1):
            assert scene.scraped() == b"HTTP/1.1 503 Service Unavailable"
    assert scene.scraped() == b"HTTP/1.1 200 OK"


def test_it_ends_when_it_is_over(scene: Scene) -> None:
    scene.is_over.set()
    time.sleep(0.3)
    assert scene.server._open == []  # noqa: SLF001 - whatever is open is left
    with closing(scene.connected()) as client:  # the kernel takes it, and nobody serves it
        client.settimeout(0.5)
        client.sendall(GET)
        with pytest.raises(TimeoutError):
            client.recv(1)
