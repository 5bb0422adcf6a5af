"""Reading and writing HTTP/2's header blocks (HPACK, RFC 7541), without a dynamic table.

We announce a table of size 0, so that each block stands for itself. Of the static table only the
size is known: none of the fields that gRPC adds is in it, and others are read as "".
"""

from __future__ import annotations

_STATIC = 61  # entries, RFC 7541 appendix A
_EOS = 256
_LONGEST_INTEGER = 5  # bytes
# The lengths in bits of the Huffman codes of each byte and of EOS (RFC 7541 appendix B). The code
# is canonical: codes of one length are in the order of their symbols, so lengths say all.
_LENGTHS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b08060606"
    "0505050606060606060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c14161414161616171617171717171818"
    "171818171717171516171617171617161514161617171617171615171617171515161715171717141616171616171616"
    "17171a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b1418141516151517161619191818"
    "1a171a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a1e"
)


class MalformedHeadersError(ValueError):
    """A header block that RFC 7541 does not allow, or that needs a dynamic table."""


def encode(fields: list[tuple[str, str]]) -> bytes:
    """Return a block of literal fields that no table takes up; each text is shorter than 127."""
    parts = [b"\0" + _text(name) + _text(value) for name, value in fields]
    return b"".join(parts)


def _text(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > 126:  # noqa: PLR2004  # the length must fit into the first 7 bits
        raise MalformedHeadersError(f"a field of {len(raw)} bytes")
    return bytes([len(raw)]) + raw


def decode(block: bytes) -> dict[str, str]:
    """Return the fields of a block whose names it spells out. Raises MalformedHeadersError."""
    fields, at = {}, 0
    try:
        while at < len(block):
            name, value, at = _field(block, at)
            if name:
                fields[name] = value
    except IndexError:
        raise MalformedHeadersError("a header block that is cut short") from None
    return fields


def _field(block: bytes, at: int) -> tuple[str, str, int]:
    first = block[at]
    if first & 0x80:  # an indexed field
        index, at = _integer(block, at, 7)
        return _known(index), "", at
    if first & 0xE0 == 0x20:  # noqa: PLR2004  # a change of the table's size
        _, at = _integer(block, at, 5)
        return "", "", at
    index, at = _integer(block, at, 6 if first & 0x40 else 4)
    name = _known(index)
    if not index:
        name, at = _string(block, at)
    value, at = _string(block, at)
    return name, value, at


def _known(index: int) -> str:
    if index > _STATIC:
        raise MalformedHeadersError("a field of the dynamic table, which has none")
    return ""


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """Return an integer with a prefix of so many bits (RFC 7541 section 5.1), and its end."""
    value = block[at] & ((1 << bits) - 1)
    at += 1
    if value < (1 << bits) - 1:
        return value, at
    for place in range(_LONGEST_INTEGER):
        byte = block[at + place]
        value += (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value, at + place + 1
    raise MalformedHeadersError("an integer that is too long")


def _string(block: bytes, at: int) -> tuple[str, int]:
    is_coded = block[at] & 0x80
    size, at = _integer(block, at, 7)
    raw = block[at : at + size]
    if len(raw) < size:
        raise MalformedHeadersError("a text that is cut short")
    text = decompressed(raw) if is_coded else raw
    return text.decode(errors="replace"), at + size


def _codes() -> dict[tuple[int, int], int]:
    """Return {(length, code): symbol}."""
    codes, code, before = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(_LENGTHS)):
        code <<= length - before
        codes[length, code] = symbol
        code, before = code + 1, length
    return codes


_CODES = _codes()


def decompressed(raw: bytes) -> bytes:
    """Return the text of Huffman codes; the rest of the last byte is padding."""
    text, length, code = bytearray(), 0, 0
    for byte in raw:
        for place in range(7, -1, -1):
            length, code = length + 1, code << 1 | byte >> place & 1
            symbol = _CODES.get((length, code))
            if symbol == _EOS:
                raise MalformedHeadersError("a code that ends the text")
            if symbol is not None:
                text.append(symbol)
                length, code = 0, 0
    return bytes(text)
