"""Scrapes as the service observe serves them, in a thread of the test."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Self

import pytest

from harness.host.processes import wait_until
from harness.node.requirements import program
from runc_wrap.agent.metrics_http import http_server, loopback, scrape_cache
from runc_wrap.agent.metrics_http.http_server import Scrapes
from runc_wrap.host import socket_peers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OURS = "http_server request_head scrape_cache".split()
LOADED = ["__future__", "_socket", "runc_wrap", "runc_wrap.agent", "runc_wrap.agent.metrics_http"]
LOADED += [*(f"runc_wrap.agent.metrics_http.{name}" for name in OURS)]
LOADED += ["runc_wrap.host", "runc_wrap.host.socket_peers", "select"]
GET = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Serving:
    """Serves in a thread as the service does, and counts the programs it starts."""

    def __init__(self, prefix: Path, *listening: socket.socket) -> None:
        self.scrapes = Scrapes(str(prefix))
        self.starts = 0
        self._ending = threading.Event()
        for one in listening:
            self.scrapes.listen(one.fileno())
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        started = scrape_cache.Exposition.start

        def start(one: scrape_cache.Exposition) -> None:
            self.starts += 1
            started(one)

        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(scrape_cache.Exposition, "start", start)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        wait_until(lambda: not self._is_making(), "the programs to end", 30)
        self._ending.set()
        self._thread.join()
        self._patch.undo()
        self.scrapes.close()

    def _is_making(self) -> bool:
        return any(one._pid for one in self.scrapes._expositions.values())  # noqa: SLF001 - what it must not leave behind

    def _serve(self) -> None:
        while not self._ending.is_set():
            if select.select([self.scrapes.fileno()], [], [], 0.02)[0]:
                self.scrapes.turn()
            self.scrapes.reap()
            self.scrapes.tidy()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.sock"


@pytest.fixture
def serving(tmp_path: Path, path: Path) -> Iterator[Serving]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with Serving(tmp_path / "prefix", listener) as found:
            yield found


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    listener = loopback.listen("127.0.0.1:0")
    with closing(listener), Serving(tmp_path / "prefix", listener):
        yield int(listener.getsockname()[1])


def curl(*words: str) -> tuple[str, str]:
    """Return status and body."""
    ended = subprocess.run(
        [program("curl"), "--silent", "--noproxy", "*", "--write-out", "\n%{http_code}", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    body, _, status = ended.stdout.rpartition("\n")
    return status, body


def connected(place: Path | int) -> socket.socket:
    """Return a connection to a unix socket or to a port."""
    if isinstance(place, int):
        return socket.create_connection(("127.0.0.1", place), 30)
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(place))
    return client


def ask(place: Path | int, request: bytes = GET) -> bytes:
    with closing(connected(place)) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(request)
        return answer(client)


def answer(client: socket.socket) -> bytes:
    """Return all that comes."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            found += part
    return found


def first_line(text: bytes) -> bytes:
    return text.partition(b"\r\n")[0]


@pytest.mark.usefixtures("serving")
def test_curl_gets_the_metrics_over_the_unix_socket(path: Path) -> None:
    status, body = curl("--unix-socket", str(path), "http://localhost/metrics")
    assert status == "200"
    assert "runc_wrap_build_info{" in body
    assert "python_info" not in body


@pytest.mark.usefixtures("serving")
def test_a_client_that_accepts_openmetrics_gets_it(path: Path) -> None:
    accept = b"\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\r\n"
    found = ask(path, GET.replace(b"\r\n\r\n", accept))
    assert b"Content-Type: application/openmetrics-text" in found
    assert found.endswith(b"# EOF\n")


BAD = [
    (b"GET / HTTP/1.1", 404),
    (b"GET /metrics/../x HTTP/1.1", 404),
    (b"GET http://evil/metrics HTTP/1.1", 404),
    (b"POST /metrics HTTP/1.1", 405),
    (b"HEAD /metrics HTTP/1.1", 405),
    (b"OPTIONS * HTTP/1.1", 405),
    (b"GET /metrics HTTP/x", 400),
    (b"GET /metrics", 400),
    (b"\x16\x03\x01\x02\x00\x01", 400),
    (b"GET /" + b"x" * 70_000 + b" HTTP/1.1", 431),
    (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 9_000, 431),
]


@pytest.mark.parametrize(("request_line", "status"), BAD, ids=range(len(BAD)))
def test_a_request_that_is_not_a_scrape_is_refused_and_starts_nothing(
    serving: Serving, path: Path, request_line: bytes, status: int
) -> None:
    found = ask(path, request_line + b"\r\n\r\n")
    assert first_line(found).startswith(b"HTTP/1.1 %d " % status)
    assert b"Python" not in found
    assert serving.starts == 0


@pytest.mark.usefixtures("serving")
def test_http_1_0_is_also_answered(path: Path) -> None:
    assert b" 200 " in first_line(ask(path, b"GET /metrics?name=x HTTP/1.0\r\n\r\n"))


def test_a_ledger_that_cannot_be_read_is_a_500(serving: Serving, path: Path) -> None:
    ledger = path.parent / "prefix" / "var" / "ledger"
    ledger.mkdir(parents=True)
    (ledger / "ledger.jsonl").symlink_to("elsewhere")
    assert b" 500 " in first_line(ask(path))
    (ledger / "ledger.jsonl").unlink()
    assert b" 200 " in first_line(ask(path))
    assert serving.starts == 2


def test_one_answer_serves_all_requests_for_a_second(serving: Serving, path: Path) -> None:
    clients = [connected(path) for _ in range(http_server.MOST_OF_ONE)]
    for client in clients:
        client.sendall(GET)
    answers = {answer(client) for client in clients}
    assert len(answers) == 1
    assert serving.starts == 1
    time.sleep(scrape_cache.KEPT + 0.2)
    assert b" 200 " in first_line(ask(path))
    assert serving.starts == 2
    for client in clients:
        client.close()


@pytest.mark.parametrize("said", [b"", b"GET /metrics HTTP/1.1\r\n"])
def test_a_silent_client_makes_room_and_is_soon_disconnected(
    serving: Serving, path: Path, said: bytes
) -> None:
    silent = [connected(path) for _ in range(3 * http_server.MOST_OF_ONE)]
    for one in silent:
        with contextlib.suppress(BrokenPipeError):
            one.sendall(said)
    assert b" 200 " in first_line(ask(path))
    begin = time.monotonic()
    assert {answer(one) for one in silent} == {b""}
    assert time.monotonic() - begin < 2 * http_server.HEAD_SECONDS
    assert serving.starts == 1
    for one in silent:
        one.close()


@pytest.mark.usefixtures("serving")
def test_a_request_that_arrives_byte_by_byte_is_soon_given_up(path: Path) -> None:
    begin = time.monotonic()
    with closing(connected(path)) as client, contextlib.suppress(OSError):
        while time.monotonic() - begin < 10:
            client.send(b"G")
            time.sleep(0.2)
    assert time.monotonic() - begin < 2 * http_server.HEAD_SECONDS


def test_no_waiting_client_is_disconnected_for_another(serving: Serving, path: Path) -> None:
    clients = [connected(path) for _ in range(http_server.MOST_OF_ONE)]
    for client in clients:
        client.sendall(GET)
    wait_until(lambda: sum(one.waits for one in [*serving.scrapes._open.values()]) == 8, "waits")  # noqa: SLF001
    assert b" 503 " in first_line(ask(path))
    assert {first_line(answer(client)) for client in clients} == {b"HTTP/1.1 200 OK"}
    for client in clients:
        client.close()


def test_a_flood_is_accepted_at_a_bounded_rate(port: int) -> None:
    begin = time.monotonic()
    taken = 0
    while time.monotonic() - begin < 2.5:
        with contextlib.suppress(OSError), closing(socket.socket()) as client:
            client.settimeout(0.2)
            client.connect(("127.0.0.1", port))
            client.send(b"x\n\n")
            taken += bool(client.recv(10))
    assert 0 < taken <= 4 * http_server.MOST_AT_A_TIME / http_server.PAUSE


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost", 200),
        (b"LOCALHOST:%d", 200),
        (b"127.0.0.1:%d", 200),
        (b"[::1]:%d", 200),
        (b"attacker.example:%d", 421),
        (b"localhost.attacker.example", 421),
        (b"localhost:1", 421),
        (b"", 421),
        (b"localhost\r\nHost: attacker.example", 400),
        (None, 400),
    ],
)
def test_a_page_whose_host_name_resolves_to_loopback_gets_nothing(
    port: int, host: bytes | None, status: int
) -> None:
    given = b"" if host is None else b"Host: " + host.replace(b"%d", b"%d" % port) + b"\r\n"
    found = ask(port, b"GET /metrics HTTP/1.1\r\n" + given + b"\r\n")
    assert first_line(found).startswith(b"HTTP/1.1 %d " % status)
    assert (b"runc_wrap" in found) is (status == 200)


def test_curl_gets_the_metrics_over_loopback(port: int) -> None:
    assert curl(f"http://127.0.0.1:{port}/metrics")[0] == "200"
    assert curl(f"http://localhost:{port}/metrics")[0] == "200"


def test_the_owner_of_a_connection_is_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert socket_peers.uid_of(ours) == os.getuid()
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as listener:
            try:
                listener.bind((address, 0))
            except OSError:
                continue  # no IPv6 here
            listener.listen()
            with socket.create_connection(listener.getsockname()[:2]):
                accepted, _ = listener.accept()
                with accepted:
                    assert socket_peers.uid_of(accepted) == os.getuid()


def test_the_owner_of_a_closed_connection_is_not_known() -> None:
    """The kernel reports uid 0 for a socket that no process has any more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = socket.create_connection(listener.getsockname()[:2])
        closed.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        closed.close()
        accepted, _ = listener.accept()
        with accepted:
            assert socket_peers.uid_of(accepted) == socket_peers.NOBODY_KNOWN


def test_the_program_runs_at_nice_10_at_least_and_has_no_descriptor_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = "import os; print(os.getpriority(0, 0), *os.listdir('/proc/self/fd'))"
    monkeypatch.setattr(scrape_cache, "_PROGRAM", shown)
    ours = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 200)
    one = scrape_cache.Exposition(str(tmp_path), "")
    try:
        one.start()
        wait_until(one.reap, "the program's end")
        priority, *descriptors = one.content_type.split()
    finally:
        os.close(ours)
        one.forget()
    assert int(priority) == max(10, os.getpriority(os.PRIO_PROCESS, 0))
    assert {b"0", b"1", b"2"} < {*descriptors}
    assert b"%d" % ours not in descriptors


def test_a_program_that_hangs_is_killed_and_its_clients_get_an_error(
    serving: Serving, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrape_cache, "_PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(scrape_cache, "LONGEST", 0.5)
    assert b" 500 " in first_line(ask(path))
    assert serving.starts == 1


def test_a_client_that_does_not_read_is_disconnected(
    path: Path, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = "import sys; sys.stdout.write('text/plain' + chr(10) + 'x' * 8_000_000)"
    monkeypatch.setattr(scrape_cache, "_PROGRAM", large)
    monkeypatch.setattr(http_server, "ANSWER_SECONDS", 6.0)
    with closing(connected(path)) as deaf:
        deaf.sendall(GET)
        assert len(ask(path)) > 8_000_000
        wait_until(lambda: not serving.scrapes._open, "the connection to be ended", 30)  # noqa: SLF001


def test_the_agent_s_part_loads_these_modules_only() -> None:
    code = (
        "import sys; before = set(sys.modules); import runc_wrap.agent.metrics_http.http_server; "
        "print(sorted(set(sys.modules) - before))"
    )
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.strip() == str(LOADED)


@pytest.mark.parametrize(
    "address",
    """
    0.0.0.0:9555 10.1.2.3:9555 [::]:9555 localhost:9555 127.0.0.1 127.0.0.1:x :9555
    127.0.0.1:70000 127.0.0.1:-1
    """.split(),
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is no loopback address and port"):
        loopback.listen(address)
