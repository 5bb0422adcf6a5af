"""The words between a launcher and the decisions worker.

One packet each way, of fields that a NUL ends:

    runc-wrap/1  KIND  RUNTIME  ARGV0  word  word ...        KIND: runc or crun
    runc-wrap/1  go  PATH  DEV  INO                          nothing to change
    runc-wrap/1  rename  PATH  DEV  INO  TEMP  REAL  TEMPINO
    runc-wrap/1  cold                                        decide yourself

PATH is the config as the runtime opens it, REAL what it is behind symbolic links, DEV and INO are
of the file that was read, TEMPINO of the new one. The launcher renames TEMP to REAL, and goes the
cold way unless PATH is the file that was read before, and the new one after.
"""

from __future__ import annotations

VERSION = b"runc-wrap/1"
LARGEST = 64 * 1024  # bytes of a request
KINDS = ("runc", "crun")
COLD = VERSION + b"\0cold\0"
_FIXED = 4  # fields before the caller's words


class Request:
    """What a launcher asks: the runtime's kind, the path it was called by, the caller's words."""

    __slots__ = ("called_as", "kind", "words")

    def __init__(self, kind: str, called_as: str, words: list[str]) -> None:
        self.kind = kind
        self.called_as = called_as
        self.words = words


def parsed(packet: bytes) -> Request | None:
    """Return what a packet asks, None for one that is no request."""
    if len(packet) > LARGEST or not packet.endswith(b"\0"):
        return None
    # as the cold path has its words from CPython under -X utf8
    fields = packet[:-1].decode("utf-8", "surrogateescape").split("\0")
    if len(fields) < _FIXED or fields[0] != VERSION.decode() or fields[1] not in KINDS:
        return None
    return Request(fields[1], fields[3], fields[_FIXED:])


def go(path: str, device: int, inode: int) -> bytes:
    """Return the answer that nothing is to be changed."""
    return _packet("go", path, device, inode)


def rename(path: str, device: int, inode: int, new: tuple[str, int], real: str) -> bytes:
    """Return the answer that `new` (path, inode) is to be renamed to `real`."""
    return _packet("rename", path, device, inode, new[0], real, new[1])


def _packet(*fields: str | int) -> bytes:
    text = "\0".join(map(str, fields))
    return VERSION + b"\0" + text.encode("utf-8", "surrogateescape") + b"\0"
