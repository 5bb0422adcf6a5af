"""The protocol between a launcher and the service decide.

One packet each way, of NUL-terminated fields:

    runc-wrap/1  KIND  ENTRY  ARGV0  word  word ...          KIND: runc or crun
    runc-wrap/1  go  PATH  DEV  INO                          nothing to change
    runc-wrap/1  rename  PATH  DEV  INO  TEMP  REAL  TEMPINO
    runc-wrap/1  cold                                        decide yourself

ENTRY is the launcher's XDG_RUNTIME_DIR=..., empty if it has none. PATH is the config as the runtime
opens it, REAL the same file without symbolic links, DEV and INO identify the file that was read,
TEMPINO the new one. The launcher renames TEMP to REAL, and takes the cold path unless PATH is the
file that was read before that, and the new one after.
"""

VERSION = b"runc-wrap/1"
LARGEST = 64 * 1024  # bytes of a request
KINDS = ("runc", "crun")
COLD = VERSION + b"\0cold\0"
_ENTRY = "XDG_RUNTIME_DIR="
_FIXED = 4  # fields before the caller's words


def parsed(packet: bytes) -> tuple[str, str, str, list[str]] | None:
    """Return (kind, run directory, called as, words) of a request, None for anything else.

    The kind is the runtime's, the directory the launcher's XDG_RUNTIME_DIR, "" for none.
    """
    if len(packet) > LARGEST or not packet.endswith(b"\0"):
        return None
    # Decoded as CPython decodes the cold path's words under -X utf8.
    fields = packet[:-1].decode("utf-8", "surrogateescape").split("\0")
    if len(fields) < _FIXED or fields[0] != VERSION.decode() or fields[1] not in KINDS:
        return None
    if fields[2] and not fields[2].startswith(_ENTRY):
        return None
    return fields[1], fields[2].removeprefix(_ENTRY), fields[3], fields[_FIXED:]


def packet(*fields: str | int) -> bytes:
    """Return an answer of these fields."""
    text = "\0".join(map(str, fields))
    return VERSION + b"\0" + text.encode("utf-8", "surrogateescape") + b"\0"
