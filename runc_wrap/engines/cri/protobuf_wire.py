"""Encoding and decoding protobuf's wire format: varints and byte strings, all that CRI needs here.

Source: protobuf.dev, "Encoding". Fields are known by their numbers; what is not asked for is kept
as it came. Protobuf's own package is 1.4 MB and a library in C for each machine, besides the
generated code: more than the few messages of cri_runtime.py are worth.
"""

from collections.abc import Mapping

from runc_wrap.engines.handler import CallFailed

Value = int | str | bytes | Mapping[str, str]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST = 10  # bytes of a varint


def message(fields: Mapping[int, Value]) -> bytes:
    """Return a message; a mapping is encoded as map<string, string>, an inner message as bytes."""
    return b"".join(_field(number, value) for number, value in fields.items())


def _field(number: int, value: Value) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    if isinstance(value, str):
        return _field(number, value.encode())
    if isinstance(value, bytes):
        return _varint(number << 3 | _BYTES) + _varint(len(value)) + value
    entries = (message({1: key, 2: item}) for key, item in value.items())
    return b"".join(_field(number, entry) for entry in entries)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:  # noqa: PLR2004  # seven bits a byte
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def fields(data: bytes) -> dict[int, list[int | bytes]]:
    """Return the values of each field, in order. Raises CallFailed."""
    found: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        value, at = _read(data, at, tag & 7)
        found.setdefault(tag >> 3, []).append(value)
    return found


def _read(data: bytes, at: int, kind: int) -> tuple[int | bytes, int]:
    if kind == _VARINT:
        return _read_varint(data, at)
    if kind == _BYTES:
        size, at = _read_varint(data, at)
    elif kind in (_FIXED32, _FIXED64):
        size = 4 if kind == _FIXED32 else 8
    else:
        raise _malformed(f"a field of kind {kind}")
    if at + size > len(data):
        raise _malformed("a field that is cut short")
    return data[at : at + size], at + size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(data[at : at + _LONGEST]):
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value, at + place + 1
    raise _malformed("a number that is cut short")


def _malformed(why: str) -> CallFailed:
    return CallFailed(f"the engine's answer is malformed: {why}")


def text(found: Mapping[int, list[int | bytes]], number: int) -> str:
    """Return the last value of a field as text, "" without one."""
    value = found.get(number, [b""])[-1]
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def inner(
    found: Mapping[int, list[int | bytes]], number: int
) -> list[dict[int, list[int | bytes]]]:
    """Return the messages in a repeated field."""
    return [fields(each) for each in found.get(number, []) if isinstance(each, bytes)]


def texts(found: Mapping[int, list[int | bytes]], number: int) -> dict[str, str]:
    """Return a field of type map<string, string>."""
    return {text(entry, 1): text(entry, 2) for entry in inner(found, number)}
