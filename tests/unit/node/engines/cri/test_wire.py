"""HTTP/2's header blocks and protobuf's messages, as gRPC servers send them, and as none does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.host.processes import short_directory
from runc_wrap.node.engines.cri import grpc_call, header_compression, protobuf_wire

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = st.integers(min_value=1, max_value=1000)
VALUES = st.one_of(st.integers(0, (1 << 63) - 1), st.binary(max_size=300))


@pytest.mark.parametrize(
    ("coded", "text"),
    [  # RFC 7541 appendix C.4 and C.6
        ("f1e3c2e5f23a6ba0ab90f4ff", b"www.example.com"),
        ("a8eb10649cbf", b"no-cache"),
        ("25a849e95ba97d7f", b"custom-key"),
        ("25a849e95bb8e8b4bf", b"custom-value"),
        ("d07abe941054d444a8200595040b8166e082a62d1bff", b"Mon, 21 Oct 2013 20:13:21 GMT"),
        ("", b""),
    ],
)
def test_huffman_codes_are_read_as_the_rfc_has_them(coded: str, text: bytes) -> None:
    assert header_compression.decompressed(bytes.fromhex(coded)) == text


def test_fields_are_read_in_every_form() -> None:
    block = bytes.fromhex("20 88 40 0a637573746f6d2d6b6579 03616263 00 0474657374 0131 5f 01 78")
    assert header_compression.decode(block) == {"custom-key": "abc", "test": "1"}


@given(st.dictionaries(st.text("abc-", min_size=1, max_size=9), st.text("xyz 1", max_size=90)))
def test_what_is_encoded_is_decoded(fields: dict[str, str]) -> None:
    assert header_compression.decode(header_compression.encode([*fields.items()])) == fields


@given(st.binary(max_size=200))
def test_no_block_makes_the_decoder_fail_otherwise(block: bytes) -> None:
    with contextlib.suppress(header_compression.MalformedHeadersError):
        header_compression.decode(block)


@given(st.dictionaries(NUMBERS, VALUES, max_size=8))
def test_a_message_is_read_as_it_was_written(fields: dict[int, int | bytes]) -> None:
    found = protobuf_wire.fields(protobuf_wire.message(fields))
    assert found == {number: [value] for number, value in fields.items()}


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=200), max_size=4))
def test_a_map_is_read_as_it_was_written(entries: dict[str, str]) -> None:
    assert (
        protobuf_wire.texts(protobuf_wire.fields(protobuf_wire.message({7: entries})), 7) == entries
    )


@given(st.binary(max_size=200))
def test_no_message_makes_the_reader_fail_otherwise(data: bytes) -> None:
    with contextlib.suppress(protobuf_wire.MalformedMessageError):
        protobuf_wire.fields(data)


def _served(path: Path, answer: bytes, *, stays: bool = False) -> threading.Thread:
    """Serve one connection, which gets these bytes and then nothing more."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve() -> None:
        asked, _ = listening.accept()
        with asked, listening:
            asked.sendall(answer)
            while stays and asked.recv(4096):
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


@given(st.binary(max_size=100))
def test_a_server_that_speaks_something_else_is_a_failed_call(answer: bytes) -> None:
    with short_directory("wire") as directory:
        thread = _served(directory / "s", answer)
        with pytest.raises(grpc_call.CallFailed):
            grpc_call.call(directory / "s", "/x/Y", b"", 5)
        thread.join(5)


def test_a_server_that_is_silent_is_waited_for_only_so_long() -> None:
    with short_directory("wire") as directory:
        thread = _served(directory / "s", b"", stays=True)
        begun = time.monotonic()
        with pytest.raises(grpc_call.CallFailed, match=r"did not answer /x/Y within 0\.2 s"):
            grpc_call.call(directory / "s", "/x/Y", b"", 0.2)
        assert time.monotonic() - begun < 30
        thread.join(5)


def test_no_server_is_a_failed_call() -> None:
    with (
        short_directory("wire") as directory,
        pytest.raises(grpc_call.CallFailed, match="No such file"),
    ):
        grpc_call.call(directory / "s", "/x/Y", b"", 5)
