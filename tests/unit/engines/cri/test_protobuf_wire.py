"""Protobuf's messages, as gRPC servers send them, and as none does."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.engines.cri import protobuf_wire
from runc_wrap.engines.handler import CallFailed

NUMBERS = st.integers(min_value=1, max_value=1000)
VALUES = st.one_of(st.integers(0, (1 << 63) - 1), st.binary(max_size=300))


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
    with contextlib.suppress(CallFailed):
        protobuf_wire.fields(data)
