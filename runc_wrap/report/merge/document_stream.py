r"""Lines of JSON: each node's answer, after a line of whoever asks that names the node.

    {"form": 1, "asked": "a"}
    {"form": 1, "node": "a", "workloads": [...], ...}       what that node answered, in one line
    {"form": 1, "node": "b", "error": "it timed out"}       from who asked: there is no answer

An answer is the single line that follows the asker's line, so a node can neither name another nor
begin another's answer; an empty line is none. A document of which nobody says whom it was asked of
must be alone in its file.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from runc_wrap.hotpath import json_codec

LARGEST = 16 << 20  # bytes of one document: some thousand workloads
MOST_CONTAINERS = 400_000  # lists and objects of one: each takes 20 times its text in memory
_ALONE = (
    "has several lines, and not before each a line that says which node was asked (docs/fleet.md); "
    "`jq -c .` makes one line of a document that is printed in many"
)


class NodeAnswer(NamedTuple):
    """What a node answered; `asked` is its name, None if nobody says it. `mark` tells it apart.

    `value` is the document, of any JSON type; `why` is "", or the rest of a sentence that says why
    there is none. `size` is in bytes.
    """

    asked: str | None
    value: Any
    why: str = ""
    mark: int = 0
    size: int = 0


def answers(readline: Callable[[int], bytes]) -> Iterator[NodeAnswer]:
    """Yield the answers of a stream, of which `readline` returns a line or so much of one."""
    unasked: list[NodeAnswer] = []
    others = False
    for one in _answers(_lines(readline)):
        if one.asked is None:
            unasked = [*unasked[:1], one]
        else:
            others = True
            yield one
    if others or len(unasked) > 1:
        unasked = [NodeAnswer(None, None, _ALONE)] if unasked else []
    yield from unasked


def _answers(lines: Iterator[bytes | str]) -> Iterator[NodeAnswer]:
    for line in lines:
        if not line:
            continue
        value, why = _decoded(line)
        asked, is_there = _asked(value)
        if asked is not None and not is_there:
            line = next(lines, b"")  # noqa: PLW2901 - the answer to the line before
            value, why = _decoded(line) if line else (None, "is empty")
        size = 0 if isinstance(line, str) else len(line)
        yield NodeAnswer(asked, value, why, hash(line), size)


def _asked(value: object) -> tuple[str | None, bool]:
    """Return the node of which whoever asks speaks here, and whether that is all of it."""
    if isinstance(value, dict):
        for key in ("asked", "node") if "error" in value else ("asked",):
            if isinstance(node := value.get(key), str):
                return node, key == "node"
    return None, False


def _lines(readline: Callable[[int], bytes]) -> Iterator[bytes | str]:
    """Yield each line without white space around it; of one that is too large a sentence's rest."""
    while line := readline(LARGEST + 1):
        size = len(line)
        while size > LARGEST and not line.endswith(b"\n") and (line := readline(LARGEST)):
            size += len(line)
        if size > LARGEST:
            yield f"is larger than {LARGEST >> 20} MiB ({size} bytes)"
        else:
            yield line.strip()


def _decoded(line: bytes | str) -> tuple[Any, str]:
    return (None, line) if isinstance(line, str) else only(line)


def only(piece: bytes) -> tuple[Any, str]:
    """Return the value of a text that has to be one document, and why there is none, "" if so."""
    most = len(piece) // 2
    count = most if most <= MOST_CONTAINERS else piece.count(b"[") + piece.count(b"{")
    if count > MOST_CONTAINERS:
        return None, f"holds {count} lists and objects, more than {MOST_CONTAINERS}"
    try:
        return json_codec.loads(piece), ""
    except json_codec.Unreadable as error:
        return None, f"is not one line of JSON ({error}); it may have been cut off"


def asking(node: str) -> bytes:
    """Return the line that says that a node's answer follows."""
    return json_codec.dumps({"form": 1, "asked": node}) + b"\n"
