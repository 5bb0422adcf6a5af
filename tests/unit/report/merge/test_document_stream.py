"""A stream of documents becomes single ones, whatever its pieces are and whatever stands in it."""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.report.merge import document_stream
from runc_wrap.report.merge.document_stream import Document, Unusable, documents

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["}\n{", "][", '"}{'])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(VALUES, max_size=3) | st.dictionaries(TEXTS, VALUES, max_size=3)


def _read(data: bytes, step: int = 1 << 20) -> list[Document | Unusable]:
    file = io.BytesIO(data)
    return list(documents(lambda most: file.read(min(step, most))))


@given(
    st.lists(st.tuples(OBJECTS, st.sampled_from([None, 0, 2])), max_size=5),
    st.integers(1, 40),
    st.sampled_from(["\n", "\r\n", "\n" + " " * 5000 + "\t\n"]),
)
def test_documents_of_one_line_or_of_many_are_what_they_were(
    written: list[tuple[Any, int | None]], step: int, between: str
) -> None:
    text = "".join(json.dumps(value, indent=indent) + between for value, indent in written)
    assert _read(text.encode(), step) == [Document(value) for value, _ in written]


def test_documents_in_one_line_are_told_apart() -> None:
    assert _read(b'{"a": "}{"}[1] {"b": []}') == [
        Document({"a": "}{"}),
        Document([1]),
        Document({"b": []}),
    ]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_document_that_is_cut_off_does_not_take_the_next_with_it(indent: int | None) -> None:
    whole = json.dumps({"node": "a", "workloads": [{"x": [1, 2]}]}, indent=indent)
    for end in range(1, len(whole)):
        found = _read(f"{whole[:end].rstrip()}\n{whole}\n{whole}\n".encode())
        assert isinstance(found[0], Unusable), whole[:end]
        assert "not JSON" in found[0].why
        assert found[-2:] == [Document(json.loads(whole))] * 2


def test_what_is_no_document_is_one_that_cannot_be_used() -> None:
    (found,) = _read(b"kubectl: command not found\n")
    assert isinstance(found, Unusable)
    assert _read(b" \n\n") == []


HUGE: dict[str, Callable[[], bytes]] = {
    "one long text": lambda: b'{"a": "' + b"x" * document_stream.LARGEST + b'"}\n',
    "white space": lambda: b"{" + b"\n" * (2 * document_stream.LARGEST) + b"}\n",
    "brackets": lambda: b"[" * (document_stream.LARGEST + 1) + b"\n",
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_document_that_is_too_large_is_passed_over_and_the_next_one_read(kind: str) -> None:
    first = HUGE[kind]()
    after = [Document([2])] if kind != "brackets" else []  # which do not end
    found = _read(first + b"[2]\n")
    assert isinstance(found[0], Unusable)
    assert "larger than 16 MiB" in found[0].why
    assert found[1:] == after


def test_a_document_that_is_too_large_is_not_held() -> None:
    """Read from a stream of 300 MB that nobody has, it takes the memory of a few pieces."""
    import tracemalloc  # noqa: PLC0415 - it slows down what it measures

    left = [b'{"a": "', *[b"x" * (1 << 20)] * 300, b'"}\n[1]\n']
    tracemalloc.start()
    try:
        found = [*documents(lambda _: left.pop(0) if left else b"")]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [type(one) for one in found] == [Unusable, Document]
    assert peak < 5 * document_stream.LARGEST


@pytest.mark.parametrize("text", [b"[" * 2000 + b"]" * 2000, b'{"a":' * 1200 + b"1" + b"}" * 1200])
def test_deep_nesting_is_refused(text: bytes) -> None:
    (found, last) = _read(text + b"\n[1]\n")
    assert isinstance(found, Unusable)
    assert last == Document([1])


def test_a_million_empty_lists_are_refused_before_they_take_memory() -> None:
    (found,) = _read(b"[" + b"[]," * document_stream.MOST_CONTAINERS + b"[]]")
    assert isinstance(found, Unusable)
    assert "lists and objects" in found.why


def test_many_damaged_pieces_are_a_bounded_number() -> None:
    assert len(_read(b"\n{" * 50_000)) <= 3000


def test_documents_before_a_long_text_do_not_each_take_the_time_of_all_of_it() -> None:
    def seconds(count: int) -> float:
        text = b"{} " * count + b'["' + "\u00e9".encode() * (2 << 20) + b'"'
        before = time.process_time()
        assert len(_read(text)) == count + 1
        return time.process_time() - before

    assert seconds(900) < 15 * seconds(9)  # 100 times as many of them, and the text is the same


@pytest.mark.parametrize("mark", [b"x\n{", b"x\n["])
def test_what_looks_like_a_beginning_does_not_each_take_the_time_of_all_the_rest(
    mark: bytes,
) -> None:
    def seconds(count: int) -> float:
        before = time.process_time()
        _read(mark * count)
        return time.process_time() - before

    assert seconds(100_000) < 40 * seconds(10_000)
