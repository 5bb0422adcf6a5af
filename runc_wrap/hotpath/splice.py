"""Puts the seccomp block into the config's own text.

Only the block is new: unknown fields, 64-bit integers, floats, key order, escapes and white space
stay as they were, byte for byte. The place is found by searching for the key, and proved by parsing
the result, which must equal the config with the block in it.
"""

from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Json = dict[str, Any]

_SPACE = b" \t\r\n"
_MOST_CANDIDATES = 32  # keys of this name at other depths; hostile input must not take long


def with_seccomp(text: bytes, config: "Json", block: "Json | None") -> bytes:
    """Return `text`, which parses to `config`, with linux.seccomp set to `block`; None removes it.

    Raises Refusal if the key is not found, which happens only if it is written with escapes.
    """
    wanted = {**config, "linux": {**config["linux"], "seccomp": block}}
    inserted = json_codec.dumps(block)
    make = _replacements if "seccomp" in config["linux"] else _insertions
    for edited in make(text, inserted):
        if _parses_to(edited, wanted):
            return edited
    raise Refusal(
        'the place of linux.seccomp in config.json cannot be found: the keys "linux" and "seccomp" '
        "must be written without escapes."
    )


def _insertions(text: bytes, block: bytes) -> "Iterator[bytes]":
    """Yield the text with the block as the first member of each key "linux"'s value."""
    for start in _values(text, b'"linux"'):
        if text[start : start + 1] == b"{":
            inside = start + 1
            comma = b"" if text[_skip(text, inside) :][:1] == b"}" else b","
            yield text[:inside] + b'"seccomp":' + block + comma + text[inside:]


def _replacements(text: bytes, block: bytes) -> "Iterator[bytes]":
    """Yield the text with the block in place of each key "seccomp"'s value."""
    for start in _values(text, b'"seccomp"'):
        end = _end(text, start)
        if end:
            yield text[:start] + block + text[end:]


def _values(text: bytes, key: bytes) -> "Iterator[int]":
    """Yield where the value starts, for the first occurrences of `key` that a colon follows."""
    found = 0
    at = text.find(key)
    while at >= 0 and found < _MOST_CANDIDATES:
        colon = _skip(text, at + len(key))
        if text[colon : colon + 1] == b":":
            found += 1
            yield _skip(text, colon + 1)
        at = text.find(key, at + len(key))


def _end(text: bytes, start: int) -> int:
    """Return where the value at `start` ends; 0 if it is neither null nor an object."""
    if text.startswith(b"null", start):
        return start + len(b"null")
    if text[start : start + 1] != b"{":
        return 0
    depth = 0
    at = start
    while True:
        byte = text[at : at + 1]
        if byte == b'"':
            at = _closing_quote(text, at)
        depth += (byte == b"{") - (byte == b"}")
        at += 1
        if depth == 0:
            return at


def _closing_quote(text: bytes, opening: int) -> int:
    at = opening + 1
    while text[at : at + 1] != b'"':
        at += 2 if text[at : at + 1] == b"\\" else 1
    return at


def _skip(text: bytes, at: int) -> int:
    while text[at : at + 1] and text[at] in _SPACE:
        at += 1
    return at


def _parses_to(text: bytes, wanted: "Json") -> bool:
    try:
        return bool(json_codec.loads(text) == wanted)
    except (json_codec.Unreadable, RecursionError):  # of the parser, and of the comparison
        return False
