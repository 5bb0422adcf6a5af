"""A stream of answers: whoever asks says whose each is, and a node has one line."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.report.merge import document_stream
from runc_wrap.report.merge.document_stream import answers, asking

Read = list[tuple[str | None, Any]]
ALONE = "has several lines"


def _read(data: bytes) -> Read:
    """Return who was asked, and the value or why it is none."""
    return [(one.asked, one.why or one.value) for one in answers(io.BytesIO(data).readline)]


_LINES = st.binary(max_size=30).map(lambda one: one.replace(b"\n", b""))
_FORGED = st.sampled_from("abx").map(lambda name: asking(name).strip())


@given(st.lists(st.tuples(st.sampled_from("abc"), _LINES | _FORGED, st.booleans()), max_size=6))
def test_whatever_line_a_node_answers_it_counts_for_that_node_alone(
    sent: list[tuple[str, bytes, bool]],
) -> None:
    """As the guide's loop writes it: head -n 1 of what ssh brought, which may end early."""
    parts = (b"\n" + asking(node) + line + b"\n" * bool(line and ends) for node, line, ends in sent)
    assert [asked for asked, _ in _read(b"".join(parts))] == [node for node, _, _ in sent]


def test_a_document_of_nobody_must_be_alone() -> None:
    assert _read(b'\n{"node": "a"}\n\n') == [(None, {"node": "a"})]
    for more in (b'{"node": "b"}\n', b"what\n"):
        ((asked, why),) = _read(b'{"node": "a"}\n' + more)
        assert asked is None
        assert why.startswith(ALONE)
    *_, (asked, why) = _read(b'{"node": "b"}\n' + asking("a") + b"[]\n")
    assert (asked, why[: len(ALONE)]) == (None, ALONE)
    ((_, why),) = _read(json.dumps({"node": "a", "workloads": [{}]}, indent=2).encode())
    assert "jq -c" in why


HUGE: dict[str, Callable[[], bytes]] = {
    "one long text": lambda: b'{"a": "' + b"x" * (3 * document_stream.LARGEST) + b'"}\n',
    "just too long": lambda: b'"' + b"x" * (document_stream.LARGEST - 1) + b'"\n',
    "brackets": lambda: b"[" * (document_stream.LARGEST + 1) + b"\n",
}


@pytest.mark.parametrize("kind", HUGE)
def test_an_answer_that_is_too_large_is_passed_over_and_the_next_one_read(kind: str) -> None:
    largest = b'"' + b"x" * (document_stream.LARGEST - 3) + b'"\n'
    first, last = _read(asking("a") + HUGE[kind]() + asking("b") + largest)
    assert first[0] == "a"
    assert "larger than 16 MiB" in first[1]
    assert last == ("b", "x" * (document_stream.LARGEST - 3))


def test_an_answer_that_is_too_large_is_not_held() -> None:
    """Read from a stream of 300 MB that nobody has, it takes the memory of a few pieces."""
    import tracemalloc  # noqa: PLC0415 - it slows down what it measures

    left = [asking("a"), *[b"x" * (1 << 16)] * 4800, b"\n", asking("b"), b"[1]\n"]

    class Stream(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            chunk = left.pop(0) if left else b""
            buffer[: len(chunk)] = chunk
            return len(chunk)

    tracemalloc.start()
    try:
        found = [one.why for one in answers(io.BufferedReader(Stream(), 1 << 16).readline)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [not why for why in found] == [False, True]
    assert peak < 5 * document_stream.LARGEST


@pytest.mark.parametrize("text", [b"[" * 2000 + b"]" * 2000, b'{"a":' * 1200 + b"1" + b"}" * 1200])
def test_deep_nesting_is_refused(text: bytes) -> None:
    ((_, why), last) = _read(asking("a") + text + b"\n" + asking("b") + b"[1]\n")
    assert "is not one line of JSON" in why
    assert last == ("b", [1])


def test_a_million_empty_lists_are_refused_before_they_take_memory() -> None:
    ((_, why),) = _read(b"[" + b"[]," * document_stream.MOST_CONTAINERS + b"[]]")
    assert "lists and objects" in why
