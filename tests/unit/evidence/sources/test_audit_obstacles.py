"""The parts of live sources that need no kernel; the rest is in tests/runtime."""

import errno
import os
import socket
import struct
from pathlib import Path

import pytest

from harness.kernel.audit_records import STAMP, fields
from runc_wrap.evidence.sightings import LossSpan
from runc_wrap.evidence.sources import Unavailable, audit_netlink, audit_obstacles, kmsg

EQUAL, NOT_EQUAL, BELOW, ABOVE = 0x40000000, 0x30000000, 0x10000000, 0x20000000
EXCLUDE, EXIT, TYPE, UID = 5, 4, 12, 1


def rule(*tests: tuple[int, int, int], flags: int = EXCLUDE) -> bytes:
    """Lay out a struct audit_rule_data: each test is a field, a value and an operator."""
    columns = [[*column, *[0] * (64 - len(tests))] for column in zip(*tests, strict=True)]
    words = [flags, 2, len(tests), *[0] * 64, *(columns[0] + columns[1] + columns[2])]
    return struct.pack("=259I", *words) + struct.pack("=I", 0)


def test_a_rule_that_excludes_records_is_reported() -> None:
    for tests, flags, expected in (
        ([(TYPE, 1326, EQUAL)], EXCLUDE, "none is logged"),
        ([(TYPE, 1326, EQUAL)], EXCLUDE | 0x10, "none is logged"),
        ([(TYPE, 1300, ABOVE), (TYPE, 1400, BELOW)], EXCLUDE, "none is logged"),
        ([(TYPE, 1300, NOT_EQUAL)], EXCLUDE, "none is logged"),
        ([(TYPE, 1326, EQUAL), (UID, 0, EQUAL)], EXCLUDE, "perhaps"),
        ([(UID, 0, EQUAL)], EXCLUDE, "perhaps"),
        ([(TYPE, 1300, EQUAL)], EXCLUDE, ""),
        ([(TYPE, 1300, EQUAL), (UID, 0, EQUAL)], EXCLUDE, ""),
        ([(TYPE, 1326, EQUAL)], EXIT, ""),
    ):
        found = audit_obstacles.excludes(rule(*tests, flags=flags))
        assert audit_obstacles.excludes(rule(*tests, flags=flags)[:500]) == ""  # cut off
        assert expected in found, tests
        assert bool(expected) == bool(found), tests


def test_what_suppresses_records_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_obstacles, "_LOGGED", tmp_path / "logged")
    monkeypatch.setattr(audit_obstacles, "_COMMAND_LINE", tmp_path / "cmdline")
    monkeypatch.setattr(audit_netlink, "asked", lambda _kind: [])
    for logged, word, command_line in (
        ("kill_process log errno", "", "quiet"),
        ("kill_process errno", "lacks log", "quiet"),
        ("log", "lacks errno", "quiet"),
        ("log errno", "audit=0", "quiet audit=1 audit=0"),
        ("log errno", "audit=0", "audit=off"),
        ("log errno", "", "audit=0 audit=1"),
    ):
        (tmp_path / "logged").write_text(logged)
        (tmp_path / "cmdline").write_text(command_line)
        found = audit_obstacles.warnings()
        assert len(found) == bool(word)
        assert all(word in text for text in found)


def test_a_kernel_without_audit_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object) -> None:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(Unavailable, match="audit=0"):
        audit_netlink.Live()
    assert audit_netlink.kernel_lost() is None
    assert any("nothing is logged" in text for text in audit_obstacles.warnings())


def ring(monkeypatch: pytest.MonkeyPatch, *results: bytes | OSError) -> list[int | str]:
    """Return what is read of /dev/kmsg with these results, call by call."""
    left = iter(results)

    def read(*_: int) -> bytes:
        result = next(left, BlockingIOError())
        if isinstance(result, OSError):
            raise result
        return result

    monkeypatch.setattr(kmsg, "PATH", os.devnull)
    monkeypatch.setattr(os, "read", read)
    return [item.records if isinstance(item, LossSpan) else "record" for item in kmsg.read()]


def record(sequence: int, *, priority: int = 5) -> bytes:
    head = b"%d,%d,1343,-;audit: type=1326 " % (priority, sequence)
    return head + STAMP + fields() + b"\n SUBSYSTEM=x\n"


def test_an_overrun_ring_says_how_many_messages_it_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = [b"\n", b"x", b"5,x,1,-;x", b"5", b"\xff,\xff,;\n"]  # is ignored
    found = ring(monkeypatch, record(7), *noise, BrokenPipeError(), record(20), record(21))
    assert found == ["record", 12, "record", "record"]


def test_a_program_that_writes_to_kmsg_is_not_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ring(monkeypatch, record(7, priority=13), record(8)) == ["record"]


def test_a_missing_ring_is_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kmsg, "PATH", tmp_path / "kmsg")
    with pytest.raises(Unavailable, match="kmsg"):
        list(kmsg.read())
