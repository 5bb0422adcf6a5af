"""The API server's answers, good and bad: bounded, and never believed more than they say."""

import contextlib
import http.client
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.node.requirements import program
from runc_wrap.cluster import api_server
from runc_wrap.cluster.api_server import ApiServer
from tests.unit.cluster import api_stand_in
from tests.unit.cluster.api_stand_in import NODE, StandIn


@pytest.fixture
def server() -> Iterator[StandIn]:
    node = {"metadata": {"name": "n1", "resourceVersion": "7"}}
    with api_stand_in.running(node) as found:
        yield found


def test_the_token_is_read_anew_for_each_request(server: StandIn, tmp_path: Path) -> None:
    api = server.api(tmp_path)
    (tmp_path / "token").write_text("old")
    with pytest.raises(api_server.Refused, match="401"):
        api.request("GET", NODE)
    (tmp_path / "token").write_text(api_stand_in.TOKEN)
    assert api.request("GET", NODE)


REFUSALS = [(403, api_server.Refused), (404, api_server.Refused), (409, api_server.Refused),
            (429, api_server.Unreachable), (500, api_server.Unreachable),
            (503, api_server.Unreachable)]  # fmt: skip


@pytest.mark.parametrize(("status", "error"), REFUSALS)
def test_what_is_no_is_told_apart_from_what_is_not_now(
    server: StandIn, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    server.refuses = status
    with pytest.raises(error) as raised:
        server.api(tmp_path).request("GET", NODE)
    assert str(status) in str(raised.value)
    assert str(raised.value).isprintable()


HEAD = b"HTTP/1.1 200 OK\r\n"
HOSTILE = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "truncated": HEAD + b"Content-Length: 100\r\n\r\n{",
    "truncated in a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n50\r\n{}",
    "no JSON": HEAD + b"Content-Length: 6\r\n\r\n<html>",
    "no object": HEAD + b"Content-Length: 2\r\n\r\n[]",
    "too deep": HEAD + b"Content-Length: 200000\r\n\r\n" + b"[" * 200000,
    "escapes": b"HTTP/1.1 500 \x1b[31m\r\nContent-Length: 0\r\n\r\n",
    "endless header": HEAD + b"X: " + b"a" * 100_000,
    "many headers": HEAD + b"X: a\r\n" * 1000 + b"\r\n",
    "too large": HEAD + b"\r\n{}" + b" " * (9 << 20),
    "said too large": HEAD + b"Content-Length: 99999999999\r\n\r\n{}",
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_an_unusable_answer_is_none(server: StandIn, tmp_path: Path, answer: bytes) -> None:
    server.answer = answer
    with pytest.raises(api_server.Unreachable) as raised:
        server.api(tmp_path).request("GET", NODE)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600


DRIPPING = {
    "the handshake": b"\x16\x03\x03\x40\x00",  # a TLS record that never ends
    "the first line": HEAD[:5],
    "a header": HEAD + b"X: ",
    "the body": HEAD + b"\r\n{",
}


@pytest.mark.parametrize("kind", DRIPPING)
def test_an_answer_that_comes_byte_by_byte_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    """No wait for a byte is long: a bound on each alone would not end it within the hour."""
    _make_certificate(tmp_path, "ca", "IP:127.0.0.1")
    with _dripping(DRIPPING[kind]) as port:
        is_tls = kind == "the handshake"
        api = _in_pod(tmp_path, port) if is_tls else StandIn({}, port=port).api(tmp_path)
        with pytest.raises(api_server.Unreachable, match="takes too long"):
            replace(api, longest=1.0).request("GET", NODE)


def test_a_bound_that_went_to_one_address_ends_the_wait_for_the_next(tmp_path: Path) -> None:
    """socket.create_connection goes on to the next address, whatever ended its wait for one."""
    with _dripping(HEAD[:5]) as port:
        api = StandIn({}, port=port).api(tmp_path)

        def connect() -> http.client.HTTPConnection:
            with contextlib.suppress(OSError):
                time.sleep(10)
            return api.connect()

        with pytest.raises(api_server.Unreachable, match="takes too long"):
            replace(api, connect=connect, longest=0.5).request("GET", NODE)


@contextlib.contextmanager
def _dripping(first: bytes) -> Iterator[int]:
    """Serve one connection: these bytes, and then one after the other, for a minute at most."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(first)
                for _ in range(600):
                    time.sleep(0.1)
                    connection.sendall(b"a")

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


AUTHORITIES = [  # the server's certificate is for, and signed by; the pod's authority
    ("IP:127.0.0.1", "", "server", True),
    ("IP:127.0.0.2", "", "server", False),  # not for the address that is asked
    ("IP:127.0.0.1", "", "other", False),
    # without key usage, as `openssl req -x509` makes it; Python 3.13 refuses it by itself
    ("IP:127.0.0.1", "ca", "ca", True),
]


@pytest.mark.parametrize(("names", "signed_by", "authority", "is_trusted"), AUTHORITIES)
def test_only_the_pods_own_authority_is_trusted(
    tmp_path: Path, names: str, signed_by: str, authority: str, *, is_trusted: bool
) -> None:
    _make_certificate(tmp_path, "ca", "DNS:authority")
    _make_certificate(tmp_path, "other", "IP:127.0.0.1")
    _make_certificate(tmp_path, "server", names, signed_by)
    (tmp_path / "ca.crt").write_bytes((tmp_path / f"{authority}.crt").read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    with api_stand_in.running({}, context) as server:
        api = _in_pod(tmp_path, server.port)
        if is_trusted:
            assert api.request("GET", NODE) == {}
        else:
            with pytest.raises(api_server.Unreachable, match="certificate"):
                api.request("GET", NODE)


def _in_pod(place: Path, port: int) -> ApiServer:
    (place / "token").write_text(api_stand_in.TOKEN)
    where = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
    return api_server.in_pod(where, place)


def _make_certificate(place: Path, name: str, names: str, signed_by: str = "") -> None:
    words: list[str | Path]
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}", "-days", "2",
             "-keyout", place / f"{name}.key", "-out", place / f"{name}.crt"]  # fmt: skip
    if signed_by:
        words += ["-CA", place / f"{signed_by}.crt", "-CAkey", place / f"{signed_by}.key"]
    subprocess.run([program("openssl"), *words], check=True, capture_output=True)
