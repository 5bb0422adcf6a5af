from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent import loopback, metrics
from runc_wrap.agent.scrape import DEADLINE
from tests.support.requirements import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEAN = ["__future__", "runc_wrap", "runc_wrap.agent", "runc_wrap.agent.metrics"]
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def serving(listener: socket.socket, prefix: Path) -> Iterator[None]:
    """Accept and serve until the block ends, as the evidence worker does."""
    ending = threading.Event()
    listener.settimeout(0.05)

    def loop() -> None:
        while not ending.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            metrics.serve(connection, str(prefix))

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        listener.close()
        await_children()


def await_children() -> None:
    until = time.monotonic() + 30
    while metrics._running:  # noqa: SLF001 - what it must not leave behind
        assert time.monotonic() < until
        metrics.reap()
        time.sleep(0.01)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    found = tmp_path / "metrics.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(found))
    listener.listen()
    with serving(listener, tmp_path / "prefix"):
        yield found


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


def ask(path: Path, request: bytes) -> bytes:
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(30)
        client.connect(str(path))
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_curl_gets_the_metrics_over_the_unix_socket(path: Path) -> None:
    status, body = curl("--unix-socket", str(path), "http://localhost/metrics")
    assert status == "200"
    assert "runc_wrap_build_info{" in body
    assert "python_info" not in body


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", b"404"),
        (b"GET /metrics/../x HTTP/1.1", b"404"),
        (b"POST /metrics HTTP/1.1", b"501"),
        (b"GET /metrics HTTP/x", b"400"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1", b"414"),
        (b"GET /metrics?name=x HTTP/1.0", b"200"),
    ],
    ids=range(6),
)
def test_other_requests_are_answered_by_a_status(
    path: Path, request_line: bytes, status: bytes
) -> None:
    answer = ask(path, request_line + b"\r\n\r\n")
    assert status in answer.split(b"\n")[0]
    assert b"Python" not in answer


def test_a_ledger_that_cannot_be_read_is_a_500(path: Path) -> None:
    ledger = path.parent / "prefix" / "var" / "ledger"
    ledger.mkdir(parents=True)
    (ledger / "ledger.jsonl").symlink_to("elsewhere")
    assert b" 500 " in ask(path, GET).split(b"\n")[0]


def test_whoever_says_nothing_is_let_go_and_a_third_is_told_to_come_again(tmp_path: Path) -> None:
    pairs = [socket.socketpair() for _ in range(metrics.AT_ONCE)]
    begin = time.monotonic()
    for ours, _ in pairs:
        metrics.serve(ours, str(tmp_path))
    assert served(tmp_path).startswith(b"HTTP/1.1 503 ")
    for _, silent in pairs:
        silent.settimeout(30)
        assert silent.recv(1) == b""
        silent.close()
    assert time.monotonic() - begin < DEADLINE
    await_children()
    assert b" 200 " in served(tmp_path)


def served(prefix: Path) -> bytes:
    """Return the first line of the answer to a request that is there already."""
    ours, theirs = socket.socketpair()
    with closing(theirs):
        theirs.settimeout(30)
        theirs.sendall(GET)
        metrics.serve(ours, str(prefix))
        return theirs.recv(65536).split(b"\n")[0]


def test_the_agent_does_not_wait_and_keeps_no_descriptor(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(GET)
    begin = time.monotonic()
    metrics.serve(ours, str(tmp_path))
    assert time.monotonic() - begin < 1
    assert ours.fileno() == -1
    theirs.settimeout(30)
    assert theirs.recv(12).startswith(b"HTTP/1.0 200")
    theirs.close()
    await_children()


def test_the_agent_s_part_imports_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules); import runc_wrap.agent.metrics; "
        "print(sorted(set(sys.modules) - before))"
    )
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.strip() == str(LEAN)


def test_loopback_tcp_is_served_too(tmp_path: Path) -> None:
    listener = loopback.listen("127.0.0.1:0")
    port = listener.getsockname()[1]
    with serving(listener, tmp_path):
        assert curl(f"http://127.0.0.1:{port}/metrics")[0] == "200"


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


def test_a_request_that_comes_byte_by_byte_is_given_up_soon(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    begin = time.monotonic()
    with ours:
        metrics.serve(theirs, str(tmp_path))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - begin < DEADLINE:
                ours.send(b"G")
                time.sleep(0.2)
    assert time.monotonic() - begin < DEADLINE / 2
    await_children()
