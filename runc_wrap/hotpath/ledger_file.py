"""The ledger of decisions: appends one JSON line for each in one write, and parses such lines.

    DIR/var/ledger/ledger.jsonl     the present file
    DIR/var/ledger/ledger.1.jsonl   the previous file, which grew beyond LARGEST
    DIR/var/ledger/ledger.2.jsonl   older records, of containers that existed at the rotation

A container exists while the runtime has <root>/<id>. Nothing here may stop a container from
starting. runc_wrap.ledger reads the files.
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
    from runc_wrap.hotpath.container_identity import Identity
    from runc_wrap.hotpath.decision import Decision

    Json = dict[str, Any]

Key = tuple[str, str]  # the runtime's root, "" for its default; the container's id
Origin = tuple[object, int | None]  # a line's `via` and the runtime's pid

OLDEST_FIRST = ("ledger.2.jsonl", "ledger.1.jsonl", "ledger.jsonl")
LARGEST = 16 * 1024 * 1024  # bytes
LONGEST_LINE = 64 * 1024  # bytes; a longer line is not ours
DEFAULT_ROOTS = ("/run/runc", "/run/crun")
TIGHTEN = "tighten"  # the action of a line about a container that runs: it decides no create
_CHUNK = 1024 * 1024
_FIRST = b'{"time":'  # how each line of `record` begins; within a string it would be {\"time\":
_LONGEST = 4096  # characters of a text: a path (PATH_MAX); a pod may write longer names
_SHORT = 256  # if that makes a line too long: a character takes up to twelve bytes
_FULL = 28  # ENOSPC


def record(
    invocation: "Invocation", who: "Identity", decision: "Decision", block: "Json", via: str
) -> "Json":
    """Return the line for one decision; `block` is the final linux.seccomp, empty for none.

    `via` says who decided: "cold", "agent" or "hook".
    """
    rare = {
        "candidate": decision.candidate,
        "candidate_digest": decision.candidate_digest,
        "replaced": decision.replaced,
        "restored": decision.restored,
        "recorded": decision.recorded,
    }
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
        **{name: value for name, value in rare.items() if value},
    }


def append(prefix: str, line: "Json") -> None:
    """Append the line to the node's ledger, or to a user's if that is not permitted."""
    for directory in _directories(prefix):
        try:
            append_to(directory, line)
        except PermissionError:
            continue
        return


def append_to(directory: str, line: "Json") -> None:
    """Append the line to the ledger in a directory. Raises OSError."""
    if _write(directory, _text(line)) > LARGEST:
        _rotate(directory)


def _directories(prefix: str) -> "list[str]":
    """Return the node's, then a user's: rootless Podman may be uid 0 of a user namespace."""
    own = posix.environ.get(b"XDG_RUNTIME_DIR", b"").decode("utf-8", "surrogateescape")
    return [f"{prefix}/var/ledger", *([f"{own}/runc-wrap/ledger"] if own else [])]


def _write(directory: str, line: bytes) -> int:
    """Append in one write; return the file's size.

    A line written in part, as where a disk becomes full, is taken back: OSError (ENOSPC).
    """
    flags = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_NONBLOCK
    try:
        descriptor = posix.open(f"{directory}/ledger.jsonl", flags, 0o600)
    except FileNotFoundError:
        _make(directory)
        descriptor = posix.open(f"{directory}/ledger.jsonl", flags, 0o600)
    try:
        written = posix.write(descriptor, line)
        end = posix.lseek(descriptor, 0, 1)
        if written < len(line):
            if posix.fstat(descriptor).st_size == end:
                posix.ftruncate(descriptor, end - written)
            raise OSError(_FULL, posix.strerror(_FULL))
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
    """Begin a new file. Writers that still have the old one open write to ledger.1."""
    lock = posix.open(f"{directory}/lock", posix.O_WRONLY | posix.O_CREAT, 0o600)
    try:
        posix.lockf(lock, posix.F_TLOCK, 0)
        if posix.stat(f"{directory}/ledger.jsonl").st_size > LARGEST:
            _keep_existing(directory)
            posix.rename(f"{directory}/ledger.jsonl", f"{directory}/ledger.1.jsonl")
    except (BlockingIOError, FileNotFoundError, PermissionError):
        return  # another process rotates it, or has just done so; or nobody may (chattr +a)
    finally:
        posix.close(lock)


def lines(descriptor: int, at: int = 0) -> "Iterator[tuple[bytes, int]]":
    """Yield a file's complete lines from an offset on, and where each ends, in bytes.

    A line that is too long comes in pieces; an unfinished last line is left out.
    """
    rest = b""
    while part := posix.pread(descriptor, _CHUNK, at + len(rest)):
        *found, rest = (rest + part).split(b"\n")
        for line in found:
            at += len(line) + 1
            yield line, at
        if len(rest) > LONGEST_LINE:
            at += len(rest)
            yield rest, at
            rest = b""


def entries(line: bytes) -> "list[tuple[bytes, Json | None]]":
    """Return a line's record with its text, or (text, None) if malformed.

    A power failure can leave a line without its end, to which the next is then joined: two entries,
    of which the first is whole only if nothing but its newline is missing.
    """
    found = parsed(line)
    at = line.rfind(_FIRST) if found is None else 0
    if at <= 0:
        return [(line, found)]
    return [(part, parsed(part)) for part in (line[:at], line[at:])]


def parsed(line: bytes) -> "Json | None":
    """Return a line's record, None if malformed. "id" is a string, "root" a string or None."""
    if len(line) > LONGEST_LINE:
        return None
    try:
        found = json_codec.loads(line)
    except json_codec.Unreadable:
        return None
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        return None
    root = found.get("root")
    root = root if isinstance(root, str) else None
    return None if "\0" in f"{root}{found['id']}" else {**found, "root": root}


def key_of(line: "Json") -> Key:
    """Return the key of a record's container."""
    return line["root"] or "", line["id"]


def origin_of(line: "Json") -> Origin:
    """Return a line's `via` and the pid of the runtime, which is also its launcher's."""
    pid = line.get("pid")
    return line.get("via"), pid if type(pid) is int else None


def is_late(origin: Origin, before: Origin) -> bool:
    """Return whether a line is the agent's for a create that the cold path had already decided.

    `before` is the origin of the container's previous line. The agent hung between its decision and
    its line; its launcher gave up waiting, and did not follow the agent's answer. With
    the two exchanged: whether a line replaces that of the agent.
    """
    return before[0] == "cold" and before[1] is not None and origin == ("agent", before[1])


def _keep_existing(directory: str) -> None:
    kept: dict[Key, bytes] = {}
    laid: dict[Key, bytes] = {}
    origins: dict[Key, Origin] = {}
    for name in OLDEST_FIRST[:2]:
        for text, found in _entries(f"{directory}/{name}"):
            if found and _exists(key_of(found)):
                whose, origin = key_of(found), origin_of(found)
                if found.get("action") == TIGHTEN:
                    laid[whose] = text
                elif not is_late(origin, origins.get(whose, (None, None))):
                    kept[whose], origins[whose] = text, origin
    new = f"{directory}/ledger.2.new"
    descriptor = posix.open(new, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o600)
    try:
        for line in (*kept.values(), *laid.values()):
            config_file.write_whole(descriptor, line + b"\n")
    finally:
        posix.close(descriptor)
    posix.rename(new, f"{directory}/ledger.2.jsonl")


def _exists(key: Key) -> bool:
    root, name = key
    roots = [root] if root else DEFAULT_ROOTS
    return any(config_file.exists(f"{one}/{name}") for one in roots)


def _entries(path: str) -> "Iterator[tuple[bytes, Json | None]]":
    """Yield the entries of the complete lines of a file of any size."""
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        for line, _ in lines(descriptor):
            yield from entries(line)
    finally:
        posix.close(descriptor)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"{posix.getcwd()}/{path}".rstrip("/")


def _text(line: "Json") -> bytes:
    """Return the line as JSON, never longer than LONGEST_LINE."""
    text = b""
    for longest in (_LONGEST, _SHORT):
        shown = {name: _plain(value, longest) for name, value in line.items()}
        text = json_codec.dumps(shown) + b"\n"
        if len(text) <= LONGEST_LINE:
            break
    return text


def _plain(value: object, longest: int) -> object:
    """Return a value that JSON can hold, shortened; invalid UTF-8 is escaped."""
    if not isinstance(value, str):
        return value
    shown = value if len(value) <= longest else value[:longest] + "..."
    return shown.encode("utf-8", "backslashreplace").decode()
