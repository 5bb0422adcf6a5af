"""The packets of the protocol. Connections: tests/runtime/agent/test_creates.py."""

import os

from hypothesis import given
from hypothesis import strategies as st

from harness.node.agent import request
from runc_wrap.agent.decide import launcher_packet
from runc_wrap.agent.decide.launcher_packet import KINDS

_words = st.lists(st.binary(max_size=9).map(lambda raw: raw.replace(b"\0", b"x")), max_size=6)


@given(_words, st.sampled_from(KINDS), st.sampled_from(["", "/run/user/0", "a=b", "\udcff"]))
def test_a_request_preserves_its_words(raw: list[bytes], kind: str, state: str) -> None:
    entry = f"XDG_RUNTIME_DIR={state}"
    packet = request(kind, *map(os.fsdecode, raw), called_as="/x/\udcff", entry=entry)
    found = launcher_packet.parsed(packet)
    assert found
    *fixed, words = found
    assert fixed == [kind, state, "/x/\udcff"]
    assert [word.encode("utf-8", "surrogateescape") for word in words] == raw


@given(st.binary(max_size=60) | _words.map(b"\0".join).map(b"runc-wrap/1\0".__add__))
def test_invalid_bytes_are_not_a_request(packet: bytes) -> None:
    fields = packet.split(b"\0")
    is_one = len(fields) > 4 and fields[1] in (b"runc", b"crun")
    assert launcher_packet.parsed(packet) is None or is_one


def test_malformed_requests_are_rejected() -> None:
    good = request("runc", "create")
    assert launcher_packet.parsed(good)
    newer, youki = good.replace(b"/1", b"/2", 1), request("youki", "create")
    for packet in (b"", b"\0", good[:-1], newer, youki):
        assert launcher_packet.parsed(packet) is None
    assert launcher_packet.parsed(request("crun", "create", entry="/usr/bin/crun")) is None
    assert launcher_packet.parsed(b"runc-wrap/1\0runc\0/usr/bin/runc\0") is None
    assert launcher_packet.parsed(request("runc", "x" * launcher_packet.LARGEST)) is None
