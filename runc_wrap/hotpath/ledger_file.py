"""The record of decisions: one JSON line each, appended in one write.

    DIR/var/ledger/ledger.jsonl     what is written now
    DIR/var/ledger/ledger.1.jsonl   what was, before it grew over LARGEST
    DIR/var/ledger/ledger.2.jsonl   older records, of containers that were still there then

A container is still there while the runtime has <root>/<id>. Nothing here may be a reason for a
container not to start.
"""

import posix
import time

from runc_wrap.hotpath import config_file, json_codec
from runc_wrap.hotpath.json_codec import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from runc_wrap.hotpath.argv import Invocation
    from runc_wrap.hotpath.decision import Decision
    from runc_wrap.hotpath.identity import Identity

    Json = dict[str, Any]

LARGEST = 16 * 1024 * 1024  # bytes
_CHUNK = 1024 * 1024
_LONGEST = 4096  # characters of a text: a path (PATH_MAX); a pod may write longer names
_STALE = 60  # seconds after which a rotation that did not end is taken for dead


def record(
    invocation: "Invocation", who: "Identity", decision: "Decision", block: "Json", via: str
) -> "Json":
    """Return the line for one decision; `block` is the final linux.seccomp, empty for none.

    `via` says who decided: "cold", "agent" or "hook".
    """
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "id": who.id,
        "engine": who.engine,
        "root": invocation.root,
        "bundle": _absolute(invocation.bundle),
        "pid_file": invocation.pid_file and _absolute(invocation.pid_file),
        "namespace": who.namespace,
        "pod": who.pod,
        "container": who.container,
        "image": who.image,
        "action": decision.action,
        "mode": decision.mode,
        "profile": decision.profile,
        "digest": digest(json_codec.dumps(block)) if block else None,
        "rule": decision.rule,
        "reason": decision.reason,
        "seconds": 0.0,
        "via": via,
        "declared": decision.declared,
        "ignored": decision.ignored,
        "handler": who.handler,
        "filters": 0 if decision.action == "leave" else 1,
    }


def append(prefix: str, line: "Json") -> None:
    """Write the line; whatever goes wrong is not the container's problem."""
    text = json_codec.dumps({key: _plain(value) for key, value in line.items()}) + b"\n"
    for directory in _directories(prefix):
        try:
            if _write(directory, text) > LARGEST:
                _rotate(directory)
        except PermissionError:
            continue
        return


def _directories(prefix: str) -> "list[str]":
    """Return the node's, then a user's: rootless Podman may be uid 0 of a user namespace."""
    own = posix.environ.get(b"XDG_RUNTIME_DIR", b"").decode("utf-8", "surrogateescape")
    return [f"{prefix}/var/ledger", *([f"{own}/runc-wrap/ledger"] if own else [])]


def _write(directory: str, line: bytes) -> int:
    """Append in one write; return the file's size. A line that has no room leaves nothing."""
    flags = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_NONBLOCK
    try:
        descriptor = posix.open(f"{directory}/ledger.jsonl", flags, 0o600)
    except FileNotFoundError:
        _make(directory)
        descriptor = posix.open(f"{directory}/ledger.jsonl", flags, 0o600)
    try:
        written = posix.write(descriptor, line)
        end = posix.lseek(descriptor, 0, 1)
        if written < len(line) and posix.fstat(descriptor).st_size == end:
            posix.ftruncate(descriptor, end - written)
        return end
    finally:
        posix.close(descriptor)


def _make(directory: str) -> None:
    for path in (config_file.directory(directory), directory):
        try:
            posix.mkdir(path, 0o700)
        except FileExistsError:
            continue


def _rotate(directory: str) -> None:
    """Begin a new file. Whoever still has the old one open writes to ledger.1, which is read."""
    lock = f"{directory}/lock"
    try:
        posix.close(posix.open(lock, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL, 0o600))
    except FileExistsError:
        if time.time() - posix.stat(lock).st_mtime > _STALE:
            posix.unlink(lock)
        return
    try:
        if posix.stat(f"{directory}/ledger.jsonl").st_size > LARGEST:
            _keep_those_still_there(directory)
            posix.rename(f"{directory}/ledger.jsonl", f"{directory}/ledger.1.jsonl")
    finally:
        posix.unlink(lock)


def is_late(line: "Json", before: "Json") -> bool:
    """Return whether a line is the agent's on a create that the cold path had decided before.

    The agent hung between its decision and its line; its launcher waited no longer, of one pid
    throughout, and what the agent wrote was not followed.
    """
    vias = before.get("via"), line.get("via")
    same = all(line.get(name) == before.get(name) for name in ("root", "id", "pid"))
    return vias == ("cold", "agent") and same and type(line.get("pid")) is int


def _keep_those_still_there(directory: str) -> None:
    kept: dict[tuple[str, str], bytes] = {}
    last: dict[tuple[str, str], Json] = {}
    for name in ("ledger.2.jsonl", "ledger.1.jsonl"):
        for line in _lines(f"{directory}/{name}"):
            found = _container(line)
            if found and config_file.exists("/".join(found[0])):
                whose, said = found
                if not is_late(said, last.get(whose, {})):
                    kept[whose] = line
                    last[whose] = {key: said.get(key) for key in ("root", "id", "pid", "via")}
    new = f"{directory}/ledger.2.new"
    descriptor = posix.open(new, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o600)
    try:
        for line in kept.values():
            config_file.write_whole(descriptor, line + b"\n")
    finally:
        posix.close(descriptor)
    posix.rename(new, f"{directory}/ledger.2.jsonl")


def _container(line: bytes) -> "tuple[tuple[str, str], Json] | None":
    """Return (root, id) of a record and the record, None if the line is damaged."""
    try:
        found = json_codec.loads(line)
        return (found["root"] + "", found["id"] + ""), found
    except (json_codec.Unreadable, KeyError, TypeError):
        return None


def _lines(path: str) -> "Iterator[bytes]":
    """Yield the whole lines of a file of any size."""
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK)
    except FileNotFoundError:
        return
    rest = b""
    try:
        while part := posix.read(descriptor, _CHUNK):
            *lines, rest = (rest + part).split(b"\n")
            yield from lines
    finally:
        posix.close(descriptor)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"{posix.getcwd()}/{path}".rstrip("/")


def _plain(value: object) -> object:
    """Return text that JSON can hold, what is no UTF-8 escaped, and that fits into a line."""
    if not isinstance(value, str):
        return value
    shown = value if len(value) <= _LONGEST else value[:_LONGEST] + "..."
    return shown.encode("utf-8", "backslashreplace").decode()
