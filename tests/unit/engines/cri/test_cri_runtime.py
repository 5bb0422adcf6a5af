"""The calls of CRI, where the engine's answer is no message."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from runc_wrap.engines.cri import cri_runtime
from runc_wrap.engines.handler import CallFailed
from tests.unit.engines.cri.http2_server import HEAD, Peer, served


def answers_no_message(peer: Peer) -> None:
    message = b"\x0a\x05ab"  # a field of five bytes, of which there are two
    peer.head(*HEAD)
    peer.data(struct.pack(">BI", 0, len(message)) + message)
    peer.head(("grpc-status", "0"), ends=True)


@pytest.mark.parametrize(
    "ask",
    [
        cri_runtime.version,
        cri_runtime.handlers,
        cri_runtime.is_ready,
        lambda path: cri_runtime.has_image(path, "x"),
        lambda path: cri_runtime.start_pod(path, "", "canary"),
        lambda path: cri_runtime.remove_pods(path, "canary"),
    ],
)
def test_an_answer_that_is_no_message_is_a_failed_call(ask: Any) -> None:
    with served(answers_no_message) as path, pytest.raises(CallFailed, match="cut short"):
        ask(path)
