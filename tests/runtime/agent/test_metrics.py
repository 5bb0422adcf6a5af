"""What uid 4242 can do to metrics on loopback: nothing to root's scrape on the Unix socket."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import wait_until
from harness.node import agent as agents
from harness.node.requirements import program, requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.node import install
    from harness.node.agent import Agent

ATTACKER = 4242
GET = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = "import socket, sys, time; port = int(sys.argv[1]); kept = []\n"
CONNECT = "kept.append(socket.create_connection(('127.0.0.1', port), 10))\n"
ATTACKS = {
    "idle": f"for _ in range(40): {CONNECT}print(flush=True); time.sleep(60)",
    "idle, again and again": f"""print(flush=True)
while True:
    try: {CONNECT}
    except OSError: pass
    kept[:-40] = []
""",
    "slow": f"""for _ in range(6): {CONNECT}print(flush=True)
while True:
    for one in kept:
        try: one.send(b'G')
        except OSError: pass
    time.sleep(0.1)
""",
    "huge": f"""print(flush=True)
while True:
    try:
        {CONNECT}
        kept[-1].sendall(b'GET /metrics HTTP/1.1\\r\\nX: ' + b'x' * 1000000)
    except OSError: pass
    kept[:-6] = []
""",
    "reads nothing": f"""print(flush=True)
while True:
    try:
        {CONNECT}
        kept[-1].sendall(b'GET /metrics HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')
    except OSError: pass
    kept[:-40] = []
""",
}


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def scraped(node: install.Installed, port: int) -> Iterator[Agent]:
    requires("setpriv", root=True)
    with agents.running(node, flags=["--metrics", f"127.0.0.1:{port}"]) as started:
        yield started


@contextlib.contextmanager
def attacking(port: int, how: str) -> Iterator[None]:
    """Run the attacker's program as a user without privileges."""
    words = [program("setpriv"), f"--reuid={ATTACKER}", f"--regid={ATTACKER}", "--clear-groups"]
    words += ["--pdeathsig=KILL", "/usr/bin/python3", "-I", "-c", HEAD + ATTACKS[how], str(port)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"\n"
        time.sleep(0.5)
        assert process.poll() is None
        yield
    finally:
        process.kill()
        process.communicate()


def scrape(place: Path | int) -> bytes:
    """Return the status line that root gets."""
    if isinstance(place, int):
        client = socket.create_connection(("127.0.0.1", place), 30)
    else:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(str(place))
    with closing(client):
        client.sendall(GET)
        return client.recv(15)


def unix(agent: Agent) -> Path:
    return agent.prefix / "var" / "agent" / "metrics.sock"


def programs(agent: Agent) -> list[int]:
    """Return the pids of the programs that make an answer now."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if (
                    b"agent.metrics_http.scrape_program" in b" ".join(words)
                    and os.fsencode(agent.prefix) in words
                ):
                    found.append(int(entry.name))
    return found


@pytest.mark.parametrize("how", ATTACKS)
def test_the_unix_socket_answers_root_whatever_another_user_does_on_loopback(
    scraped: Agent, port: int, how: str
) -> None:
    before = scraped.both
    with attacking(port, how):
        for _ in range(5):
            assert scrape(unix(scraped)) == b"HTTP/1.1 200 OK"
            time.sleep(0.3)
    assert scraped.both == before
    assert scrape(unix(scraped)) == b"HTTP/1.1 200 OK"


@pytest.mark.usefixtures("scraped")
@pytest.mark.parametrize("how", ["idle", "idle, again and again"])
def test_another_users_idle_connections_do_not_displace_root_on_loopback(
    port: int, how: str
) -> None:
    with attacking(port, how):
        for _ in range(3):
            assert scrape(port) == b"HTTP/1.1 200 OK"


def test_idle_connections_start_nothing(scraped: Agent, port: int) -> None:
    with attacking(port, "idle"):
        time.sleep(0.5)
        assert programs(scraped) == []
        with closing(socket.create_connection(("127.0.0.1", port), 5)) as wrong:
            wrong.sendall(GET.replace(b"localhost", b"attacker.example"))
            assert wrong.recv(12) == b"HTTP/1.1 421"
        assert programs(scraped) == []


def test_the_socket_is_roots(scraped: Agent) -> None:
    as_attacker = [program("setpriv"), f"--reuid={ATTACKER}", "--clear-groups", program("curl")]
    done = subprocess.run(
        [*as_attacker, "--silent", "--unix-socket", unix(scraped), "http://localhost/metrics"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (7, b"")  # curl could not connect


def test_the_program_that_makes_an_answer_runs_at_nice_10(scraped: Agent) -> None:
    seen: set[int] = set()

    def look() -> bool:
        for pid in programs(scraped):
            with contextlib.suppress(ProcessLookupError):
                seen.add(os.getpriority(os.PRIO_PROCESS, pid))
        return bool(seen)

    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(30)
        client.connect(str(unix(scraped)))
        client.sendall(GET)
        wait_until(look, "the program")
        assert client.recv(15) == b"HTTP/1.1 200 OK"
    assert 10 in seen
