"""The parts of live sources that need no kernel; the rest is in tests/runtime."""

import errno
import os
import socket
import struct
from pathlib import Path

import pytest

from harness.kernel.audit_records import STAMP, fields
from runc_wrap.evidence.sightings import LossSpan, Sighting
from runc_wrap.evidence.sources import Unavailable, audit_netlink, audit_obstacles, kmsg

EQUAL, NOT_EQUAL, BELOW, ABOVE = 0x40000000, 0x30000000, 0x10000000, 0x20000000
EXCLUDE, EXIT, TYPE, UID = 5, 4, 12, 1


def rule(*tests: tuple[int, int, int], flags: int = EXCLUDE) -> bytes:
    """Lay out a struct audit_rule_data: each test is a field, a value and an operator."""
    columns = [[*column, *[0] * (64 - len(tests))] for column in zip(*tests, strict=True)]
    words = [flags, 2, len(tests), *[0] * 64, *(columns[0] + columns[1] + columns[2])]
    return struct.pack("=259I", *words) + struct.pack("=I", 0)


@pytest.mark.parametrize(
    ("tests", "flags", "expected"),
    [
        ([(TYPE, 1326, EQUAL)], EXCLUDE, "none is logged"),
        ([(TYPE, 1326, EQUAL)], EXCLUDE | 0x10, "none is logged"),
        ([(TYPE, 1300, ABOVE), (TYPE, 1400, BELOW)], EXCLUDE, "none is logged"),
        ([(TYPE, 1300, NOT_EQUAL)], EXCLUDE, "none is logged"),
        ([(TYPE, 1326, EQUAL), (UID, 0, EQUAL)], EXCLUDE, "perhaps"),
        ([(UID, 0, EQUAL)], EXCLUDE, "perhaps"),
        ([(TYPE, 1300, EQUAL)], EXCLUDE, ""),
        ([(TYPE, 1300, EQUAL), (UID, 0, EQUAL)], EXCLUDE, ""),
        ([(TYPE, 1326, EQUAL)], EXIT, ""),
    ],
)
def test_a_rule_that_excludes_records_is_reported(
    tests: list[tuple[int, int, int]], flags: int, expected: str
) -> None:
    found = audit_obstacles.excludes(rule(*tests, flags=flags))
    assert audit_obstacles.excludes(rule(*tests, flags=flags)[:500]) == ""  # cut off
    assert expected in found
    assert bool(expected) == bool(found)


@pytest.mark.parametrize(
    ("logged", "words", "command_line"),
    [
        ("kill_process log errno", [], "quiet"),
        ("kill_process errno", ["lacks log"], "quiet"),
        ("log", ["lacks errno"], "quiet"),
        ("log errno", ["audit=0"], "quiet audit=1 audit=0"),
        ("log errno", ["audit=0"], "audit=off"),
        ("log errno", [], "audit=0 audit=1"),
    ],
)
def test_what_suppresses_records_is_reported_in_words(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logged: str,
    words: list[str],
    command_line: str,
) -> None:
    (tmp_path / "logged").write_text(logged)
    (tmp_path / "cmdline").write_text(command_line)
    monkeypatch.setattr(audit_obstacles, "_LOGGED", tmp_path / "logged")
    monkeypatch.setattr(audit_obstacles, "_COMMAND_LINE", tmp_path / "cmdline")
    monkeypatch.setattr(audit_netlink, "asked", lambda _kind: [])
    found = audit_obstacles.warnings()
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


def test_a_kernel_without_audit_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object) -> None:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(Unavailable, match="audit=0"):
        audit_netlink.Live()
    assert audit_netlink.kernel_lost() is None
    assert any("nothing is logged" in text for text in audit_obstacles.warnings())


class Ring:
    """The results of reading /dev/kmsg, call by call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *results: bytes | OSError) -> None:
        self._results = iter(results)
        monkeypatch.setattr(kmsg, "PATH", os.devnull)
        monkeypatch.setattr(os, "read", self.read)

    def read(self, _descriptor: int, _size: int) -> bytes:
        result = next(self._results, BlockingIOError())
        if isinstance(result, OSError):
            raise result
        return result


def record(sequence: int, *, priority: int = 5) -> bytes:
    head = b"%d,%d,1343,-;audit: type=1326 " % (priority, sequence)
    return head + STAMP + fields() + b"\n SUBSYSTEM=x\n"


def read(found: list[Sighting | LossSpan]) -> list[int | str]:
    return [item.records if isinstance(item, LossSpan) else "record" for item in found]


def test_an_overrun_ring_says_how_many_messages_it_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = [b"\n", b"x", b"5,x,1,-;x", b"5", b"\xff,\xff,;\n"]  # is ignored
    Ring(monkeypatch, record(7), *noise, BrokenPipeError(), record(20), record(21))
    found = kmsg.read()
    assert read(list(found)) == ["record", 12, "record", "record"]


def test_a_program_that_writes_to_kmsg_is_not_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    Ring(monkeypatch, record(7, priority=13), record(8))
    assert read([*kmsg.read()]) == ["record"]


def test_a_missing_ring_buffer_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kmsg, "PATH", tmp_path / "kmsg")
    with pytest.raises(Unavailable, match="kmsg"):
        list(kmsg.read())
