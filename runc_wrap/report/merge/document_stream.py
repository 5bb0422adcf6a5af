r"""Splits a stream of JSON documents into single ones, without holding more than one.

Documents stand one after the other, each from the beginning of a line: printed in one line or in
many. Where a line begins with an opening bracket and a closing one stands before, no document can
go on: JSON has a comma there, and its strings have no line breaks. What is cut off ends where a
line begins with a bracket, so that it does not take the next document with it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap.hotpath import json_codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LARGEST = 16 << 20  # bytes of one document: some thousand workloads
MOST_CONTAINERS = 400_000  # lists and objects of one: each takes 20 times its text in memory
_CHUNK = 1 << 20
_MOST_PARTS = 1000  # that one damaged stretch is split into
_STEP = 4096
_OBJECT, _LIST = b"\n{", b"\n["
_BEGIN = re.compile(rb"\n(?=[{\[])")
_NEXT = re.compile(r"\s*", re.ASCII).match


class Unusable(NamedTuple):
    """A document that is none; `why` is the rest of a sentence about it."""

    why: str


class Document(NamedTuple):
    """A document's value, of any JSON type."""

    value: Any


def documents(read: Callable[[int], bytes]) -> Iterator[Document | Unusable]:
    """Yield the documents in the order in which they stand; `read` returns b"" at the end."""
    for piece in _pieces(read):
        if isinstance(piece, int):
            yield Unusable(f"is larger than {LARGEST >> 20} MiB ({piece} bytes)")
        else:
            yield from _decoded(piece)


def _pieces(read: Callable[[int], bytes]) -> Iterator[bytes | int]:
    """Yield each stretch up to a certain end; of one that is too large its length only."""
    held, begin, dropped = bytearray(), 0, 0
    while chunk := read(_CHUNK):
        held += chunk
        while end := _end(held, begin):
            yield _piece(held, end, dropped)
            del held[:end]
            begin = dropped = 0
        begin = max(len(held) - 1, 0)
        if len(held) > LARGEST:
            dropped += len(held)
            held, begin = _last(held), 0
    if dropped or held.strip():
        yield _piece(held, len(held), dropped)


def _end(held: bytearray, begin: int) -> int:
    """Return where the first document ends that ends behind `begin`, 0 if none does.

    Each stretch is searched once for each bracket: not for one that stands behind the other.
    """
    at, brace = begin, held.find(_OBJECT, begin)
    while True:
        bracket = held.find(_LIST, at, brace if brace >= 0 else len(held))
        found = bracket if bracket >= 0 else brace
        if found < 0:
            return 0
        if _closes(held, found):
            return found + 1
        at = found + 1
        if found == brace:
            brace = held.find(_OBJECT, at)


def _closes(held: bytearray, end: int) -> bool:
    """Return whether the last character before `end`, white space aside, closes a document."""
    while end > 0:
        before = held[max(end - _STEP, 0) : end].rstrip()
        if before:
            return before[-1] in b"}]"
        end -= _STEP
    return False


def _piece(held: bytearray, end: int, dropped: int) -> bytes | int:
    return dropped + end if dropped or end > LARGEST else bytes(held[:end])


def _last(held: bytearray) -> bytearray:
    """Return what shows whether the document ends here: its last character, and a line break."""
    kept = held.rstrip()
    return kept[-1:] + (b"\n" if held.endswith(b"\n") else b"")


def _decoded(piece: bytes) -> Iterator[Document | Unusable]:
    whole = only(piece)
    parts = _BEGIN.split(piece, _MOST_PARTS) if isinstance(whole, Unusable) else []
    if len(parts) > 1:
        for part in parts:
            yield from _adjacent(part)
    elif parts:
        yield from _adjacent(piece)
    else:
        yield whole


def _adjacent(part: bytes) -> Iterator[Document | Unusable]:
    """Yield the documents of a part; some may follow each other within a line.

    It is decoded once: a text of many small documents would take a minute otherwise.
    """
    whole = only(part)
    if not isinstance(whole, Unusable) or _containers(part) > MOST_CONTAINERS:
        yield whole
        return
    rest = part.strip().decode("utf-8", "surrogateescape")
    begin = 0
    for _ in range(_MOST_PARTS):
        end = _first_end(rest, begin)
        if end in (begin, len(rest)):
            break
        yield only(_encoded(rest[begin:end]))
        begin = _NEXT(rest, end).end()  # type: ignore[union-attr]
    yield only(_encoded(rest[begin:]))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _first_end(rest: str, begin: int) -> int:
    """Return where the document that begins there ends, `begin` if there is none."""
    if rest[begin : begin + 1] not in ("{", "["):
        return begin
    try:
        return json.JSONDecoder().raw_decode(rest, begin)[1]
    except (ValueError, RecursionError):
        return begin


def only(piece: bytes) -> Document | Unusable:
    """Return what a text holds that has to be one document."""
    count = _containers(piece)
    if count > MOST_CONTAINERS:
        return Unusable(f"holds {count} lists and objects, more than {MOST_CONTAINERS}")
    try:
        return Document(json_codec.loads(piece))
    except json_codec.Unreadable as error:
        return Unusable(f"is not JSON ({error}); it may have been cut off")


def _containers(piece: bytes) -> int:
    """Return how many lists and objects a text may hold: each has two brackets."""
    most = len(piece) // 2
    return most if most <= MOST_CONTAINERS else piece.count(b"[") + piece.count(b"{")
