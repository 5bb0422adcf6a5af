"""The calls of CRI and their messages: a canary's pod, no other's, and answers that are none."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.engines.cri import cri_runtime, protobuf_wire
from runc_wrap.engines.cri.protobuf_wire import fields, inner, text
from runc_wrap.engines.handler import CallFailed
from tests.unit.engines.cri.http2_server import HEAD, Peer, framed, served


def _runtimes(default: str, **options: object) -> dict[str, Any]:
    """Return what containerd tells of its configuration; each handler with its options."""
    made = {name: {"options": each} for name, each in options.items()}
    return {"defaultRuntimeName": default, "runtimes": made}


SYSTEMD, OWN = {"SystemdCgroup": True}, {"SystemdCgroup": False}


PARENTS = [
    (_runtimes("runc", runc=SYSTEMD, ours=OWN), "", "system.slice"),
    (_runtimes("runc", runc=OWN, ours=SYSTEMD), "ours", "system.slice"),
    (_runtimes("runc", runc=SYSTEMD, ours=OWN), "ours", ""),
    (_runtimes("runc", runc={}), "", ""),
    (_runtimes("runc", runc=None), "", ""),
    (_runtimes("runc", runc=SYSTEMD), "unknown", ""),
    (_runtimes("runc", runc={"SystemdCgroup": "yes"}), "", ""),
    ({"runtimes": []}, "ours", ""),
    ({}, "", ""),
]


@pytest.mark.parametrize(("configured", "handler", "parent"), PARENTS)
def test_a_canarys_pod_is_in_a_slice_where_cgroups_are_systemds(
    configured: dict[str, Any], handler: str, parent: str
) -> None:
    assert cri_runtime.cgroup_parent(configured, handler) == parent
    pod = fields(cri_runtime._pod("uid", parent, "canary"))  # noqa: SLF001 - what is sent
    assert [text(one, 1) for one in inner(pod, 8)] == [parent]


def answers_no_message(peer: Peer) -> None:
    peer.head(*HEAD)
    peer.data(framed(b"\x0a\x05ab"))  # a field of five bytes, of which there are two
    peer.head(("grpc-status", "0"), ends=True)


ASKED = [
    cri_runtime.version,
    cri_runtime.handlers,
    cri_runtime.is_ready,
    lambda path: cri_runtime.has_image(path, "x"),
    lambda path: cri_runtime.start_pod(path, "", "canary"),
    lambda path: cri_runtime.remove_pods(path, "canary"),
]


@pytest.mark.parametrize("ask", ASKED)
def test_an_answer_that_is_no_message_is_a_failed_call(ask: Any) -> None:
    with served(answers_no_message) as path, pytest.raises(CallFailed, match="cut short"):
        ask(path)


NUMBERS = st.integers(min_value=1, max_value=1000)
VALUES = st.one_of(st.integers(0, (1 << 63) - 1), st.binary(max_size=300))


@given(st.dictionaries(NUMBERS, VALUES, max_size=8))
def test_a_message_is_read_as_it_was_written(fields: dict[int, int | bytes]) -> None:
    found = protobuf_wire.fields(protobuf_wire.message(fields))
    assert found == {number: [value] for number, value in fields.items()}


@given(st.binary(max_size=200))
def test_no_message_makes_the_reader_fail_otherwise(data: bytes) -> None:
    with contextlib.suppress(CallFailed):
        protobuf_wire.fields(data)
