"""The fuzzed targets: each function takes foreign bytes, and raises on a defect.

A documented refusal is not a defect. If there is another reader of the same bytes, the results are
compared: for config.json with runc's own decoder, decoded.go.
"""

import contextlib
import json
import os
import socket
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from runc_wrap.agent.decide import launcher_packet
from runc_wrap.agent.observe import call_arguments, listener_handover
from runc_wrap.evidence.sightings import LossSpan, Sighting
from runc_wrap.evidence.sources import audit_netlink, journald, line_stream, strace_text
from runc_wrap.evidence.store import evidence_reader
from runc_wrap.filters.evaluate import bpf, bpf_arguments
from runc_wrap.hotpath import argv, json_ambiguity, json_codec, ledger_file, splice
from runc_wrap.hotpath.block_equivalence import is_same
from runc_wrap.hotpath.create_facts import annotations_of, seccomp_of
from runc_wrap.hotpath.errors import Malformed, Refusal
from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.profiles.composition import composed_profile
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.source_profile import ProfileError

Json = dict[str, Any]

DECODER = "RUNC_WRAP_DECODER"  # in the environment: the program made from decoded.go
BLOCK = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}],
}
_LENGTH = struct.Struct("<I")


class Defect(AssertionError):
    """A defect that was found."""


def config(data: bytes) -> None:
    """Read a config.json, and inject a block: runc must read that block, and the rest as before.

    If the config's block is recognized as BLOCK, it must be that for runc, too.
    """
    try:
        found = json_ambiguity.parsed(data)
        json_ambiguity.check_nul(data)
        annotations_of(found)
        existing = seccomp_of(found)
        if not isinstance(found.get("linux"), dict):
            return  # decide refuses it
        confined = splice.with_seccomp(data, found, BLOCK)
    except (Refusal, Malformed):
        return
    before, after = decoded(data), decoded(confined)
    if before is None:
        return
    if is_same(existing, BLOCK) and not is_same(before["seccomp"], BLOCK):
        raise Defect(f"a block is recognized, and runc sees {before['seccomp']}")
    if bool(before["seccomp"]) != bool(existing) and not _is_odd(found):
        raise Defect(f"runc sees {before['seccomp']}, we see {existing}")
    if after is None or after["rest"] != before["rest"]:
        raise Defect("something else was changed, or runc reads it no more")
    if after["seccomp"] != _shown(json.dumps(BLOCK)):
        raise Defect(f"runc sees another block: {after['seccomp']}")


def _is_odd(found: Json) -> bool:
    """Return whether linux.seccomp is an empty object, which Go prints differently."""
    linux = found.get("linux")
    return isinstance(linux, dict) and isinstance(linux.get("seccomp"), dict)


@cache
def _shown(text: str) -> Json:
    told = decoded(f'{{"linux":{{"seccomp":{text}}}}}'.encode())
    if told is None:
        raise Defect("the decoder does not read our own block")
    return dict(told["seccomp"])


def decoded(data: bytes) -> Json | None:
    """Return a config as runc's decoder reads it, None if it refuses it."""
    decoder = _decoder()
    if decoder.stdin is None or decoder.stdout is None:
        raise Defect("the decoder has no pipes")
    decoder.stdin.write(_LENGTH.pack(len(data)) + data)
    decoder.stdin.flush()
    (size,) = _LENGTH.unpack(decoder.stdout.read(_LENGTH.size))
    return json.loads(decoder.stdout.read(size)) if size else None


@cache
def _decoder() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [os.environ[DECODER]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=-1
    )


def words(data: bytes) -> None:
    """Parse a command line of either runtime."""
    found = [part.decode("utf-8", "surrogateescape") for part in data.split(b"\0")]
    for kind in ("runc", "crun"):
        with contextlib.suppress(Refusal, Malformed):
            invocation = argv.parse(found, kind)
            if invocation and not isinstance(argv.config_path(invocation), str):
                raise Defect("a path that is no text")


def audit(data: bytes) -> None:
    """Read a log of audit records in one piece and in two, with the same result.

    The order of losses and records within a chunk is not defined.
    """
    whole = _read(line_stream.Lines("it"), data)
    at = len(data) // 2
    halves = _read(line_stream.Lines("it"), data[:at], data[at:])
    if whole != halves:
        raise Defect(f"in one piece {whole}, in two {halves}")


def _read(reader: line_stream.Lines, *chunks: bytes) -> tuple[list[Sighting], Counter[str]]:
    """Return the records, and how many were lost for which reason."""
    found = [item for chunk in chunks for item in reader.feed(chunk)]
    lost: Counter[str] = Counter()
    for item in found:
        if isinstance(item, LossSpan):
            lost[item.why] += item.records
    return [item for item in found if isinstance(item, Sighting)], lost


def message(data: bytes) -> None:
    """Read a datagram of the audit socket."""
    found = audit_netlink._item(data)  # noqa: SLF001 - what a datagram becomes
    if found is not None and not isinstance(found, Sighting | LossSpan):
        raise Defect(f"neither a record nor a loss: {found!r}")


def journal(data: bytes) -> None:
    """Read journalctl's output, entry by entry."""
    entries = journald._Entries()  # noqa: SLF001 - what reads the output
    for _ in entries.feed(data):
        pass
    entries.settle(0)


def request(data: bytes) -> None:
    """Read a packet of the decide socket, up to the point where files are read."""
    found = launcher_packet.parsed(data)
    if found:
        kind, _, _, words = found
        with contextlib.suppress(Refusal, Malformed):
            argv.parse(words, kind)


def notification(data: bytes) -> None:
    """Receive a runtime's message at the notify socket, with a descriptor."""
    here, there = socket.socketpair()
    arrival = listener_handover.Arrival(0, here.detach())
    here.settimeout(0)
    with there, open(os.devnull, "rb") as null:  # noqa: PTH123 - a descriptor is all that counts
        there.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            socket.send_fds(there, [data[:65536] or b" "], [null.fileno()])
        there.shutdown(socket.SHUT_WR)
        for _ in range(8):
            arrival.read()
            if arrival.is_whole:
                break
        if not arrival.is_whole:
            raise Defect("the connection has ended and is waited for")
        call_arguments.allowed(str(arrival.state()["metadata"]))
    for fd in {*arrival.fds[:1]}:
        os.close(fd)
    arrival.end()


def record(data: bytes) -> None:
    """Read a line of a ledger."""
    for _, found in ledger_file.entries(data):
        if found is not None:
            ledger_record.of(found)


def evidence(data: bytes) -> None:
    """Load an evidence store with this as the content of its files and its state."""
    directory = _directory()
    for name in ("containers/0.json", "state.json", "unattributed.json"):
        (directory / name).write_bytes(data)
    evidence_reader.load(directory)


@cache
def _directory() -> Path:
    made = Path(tempfile.mkdtemp(prefix="rw-fuzz-"))
    (made / "containers").mkdir()
    return made


def program(data: bytes) -> None:
    """Read a filter's instructions, run it, and explore its paths: the results must agree."""
    size = len(data) // 8 * 8
    try:
        found = bpf.program(data[:size])
    except bpf.BpfError:
        return
    call = bpf.SeccompData(0xC000003E, 41, (1, 2, 3, 4, 5, 6))
    returned = bpf.evaluate(found, call)
    if not 0 <= returned <= 0xFFFFFFFF:
        raise Defect(f"a filter returned {returned}")
    told = bpf_arguments.interest([found], call.arch, call.number)
    if not told.indexes and returned != bpf.evaluate(
        found, bpf.SeccompData(call.arch, call.number)
    ):
        raise Defect("no argument is said to matter, and one does")


def profile(data: bytes) -> None:
    """Read an owner's own profile."""
    with contextlib.suppress(ProfileError):
        profile_parser.parse(data, "it")


def composed(data: bytes) -> None:
    """Read an owner's profile that stands on a base, as a file and as a rule's text."""
    with contextlib.suppress(ProfileError):
        if composed_profile.has_base(data, "it"):
            composed_profile.parse_file(data, "it")
    with contextlib.suppress(ProfileError):
        found = composed_profile.parse(data.decode("utf-8", "replace"))
        text = " ".join([found.base, *map(str, found.changes)])
        if composed_profile.parse(text) != found:
            raise Defect(f"written as {text!r}, it is read as something else")


def strace(data: bytes) -> None:
    """Read strace's output: an argument is a number of 64 bits or unknown."""
    for call in map(strace_text.StraceReader().call, data.splitlines(keepends=True)):
        args = call.args if call else ()
        if any(arg is not None and not 0 <= arg < 1 << 64 for arg in args):
            raise Defect(f"an argument that no register holds: {args}")


def codec_text(data: bytes) -> None:
    """Read JSON: the result must be the same after it is written and read again."""
    try:
        found = json_codec.loads(data)
        again = json_codec.loads(json_codec.dumps(found))
    except json_codec.Unreadable:
        return
    if found != again and found == found:  # noqa: PLR0124 - NaN is refused, so nothing differs from itself
        raise Defect("it does not come back")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "config": config,
    "argv": words,
    "audit": audit,
    "netlink": message,
    "journal": journal,
    "decide": request,
    "notify": notification,
    "ledger": record,
    "evidence": evidence,
    "bpf": program,
    "profile": profile,
    "composed": composed,
    "strace": strace,
    "json": codec_text,
}
