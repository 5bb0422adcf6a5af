import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.kernel.audit_records import FIELDS, STAMP, fields
from runc_wrap.evidence.sightings import LossSpan, Sighting
from runc_wrap.evidence.sources import Unavailable, journald
from tests.unit.node import machine

SENT = {
    "_TRANSPORT": "audit",
    "_AUDIT_TYPE": "1326",
    "_AUDIT_ID": "12589",
    "_SOURCE_REALTIME_TIMESTAMP": "1795542341092000",
    "_BOOT_ID": "b",
    "MESSAGE": "SECCOMP " + fields().decode(),
}
PRINTED = {
    "_TRANSPORT": "kernel",
    "_BOOT_ID": "b",
    "MESSAGE": "audit: type=1326 " + (STAMP + fields()).decode(),
}
SUPPRESSED = {**PRINTED, "MESSAGE": "kauditd_printk_skb: 189 callbacks suppressed"}


class Journalctl:
    """A shell script that replaces journalctl."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def does(self, script: str) -> None:
        machine.fake(self._directory, "journalctl", script)

    def prints(self, *entries: object) -> None:
        output = self._directory / "output"
        texts = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
        output.write_text("".join(text + "\n" for text in texts))
        self.does(f"exec /bin/cat {output}")


@pytest.fixture
def journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journalctl:
    return Journalctl(machine.empty(tmp_path, monkeypatch))


def read(patience: float = 20) -> list[Sighting | LossSpan]:
    return list(journald.read(0, patience))


def lost(found: list[Sighting | LossSpan]) -> list[int]:
    return [item.records for item in found if isinstance(item, LossSpan)]


def test_a_record_is_the_same_sent_and_printed_and_as_bytes(journalctl: Journalctl) -> None:
    arrays = ({**form, "MESSAGE": list(form["MESSAGE"].encode())} for form in (SENT, PRINTED))
    journalctl.prints(*arrays, SENT, PRINTED)
    assert [type(one) for one in set(read())] == [Sighting]


def test_a_newline_in_a_programs_message_begins_no_record(journalctl: Journalctl) -> None:
    text = f"audit: type=1107 audit(1.000:1): pid=1 msg='x\n{PRINTED['MESSAGE']}\n'"
    journalctl.prints({**PRINTED, "MESSAGE": text})
    assert read() == []


def test_an_unprinted_record_is_lost_unless_it_was_sent(journalctl: Journalctl) -> None:
    journalctl.prints(PRINTED, SUPPRESSED)
    assert lost(read()) == [189]
    journalctl.prints(SENT, SUPPRESSED)
    assert lost(read()) == []
    journalctl.prints(SENT, SUPPRESSED, {**SUPPRESSED, "_BOOT_ID": "c"}, {**SENT, "_BOOT_ID": "d"})
    assert lost(read()) == [189]


def test_damage_is_counted_and_skipped(journalctl: Journalctl) -> None:
    for entry in (
        *("{", "[]", "null"),
        {**SENT, "_AUDIT_ID": None},
        {**SENT, "_AUDIT_ID": ["1", "2"]},
        {**SENT, "_SOURCE_REALTIME_TIMESTAMP": "x"},
        {**SENT, "MESSAGE": None},
        {**SENT, "MESSAGE": ["a", "b"]},
        {**SENT, "MESSAGE": [999]},
        {**PRINTED, "MESSAGE": "audit: type=1326 audit(1.000:1): what"},
        {**SENT, "MESSAGE": "x" * (journald.LONGEST + 1)},
    ):
        journalctl.prints(PRINTED, entry, PRINTED)
        found = read()
        assert ([type(item) for item in found].count(Sighting), lost(found)) == (2, [1])


def test_an_endless_entry_takes_no_memory(journalctl: Journalctl) -> None:
    journalctl.prints(PRINTED, {**SENT, "MESSAGE": "x" * 20_000_000}, PRINTED)
    assert [type(item) for item in read()] == [Sighting, LossSpan, Sighting]


def test_a_silent_journalctl_is_ended(journalctl: Journalctl) -> None:
    journalctl.does(f"echo '{json.dumps(PRINTED)}'; exec /bin/sleep 100")
    begin = time.monotonic()
    sighting, lost = read(patience=0.5)
    assert isinstance(sighting, Sighting)
    assert lost.source == "audit"
    assert time.monotonic() - begin < 50


def test_a_reader_that_stops_early_leaves_no_process(journalctl: Journalctl) -> None:
    journalctl.does(f"while :; do echo '{json.dumps(PRINTED)}'; done")
    reading = journald.read(0)
    assert isinstance(next(iter(reading)), Sighting)
    begin = time.monotonic()
    del reading
    assert time.monotonic() - begin < 20


def test_a_missing_or_failing_journalctl_is_reported(journalctl: Journalctl) -> None:
    with pytest.raises(Unavailable, match="not installed"):
        read()
    journalctl.does("exit 3")
    with pytest.raises(Unavailable, match="status 3"):
        read()


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_no_bytes_make_it_raise(chunks: list[bytes]) -> None:
    entries = journald._Entries()  # noqa: SLF001 - journalctl's output is not ours to choose
    hostile = json.dumps({**SENT, "MESSAGE": (FIELDS % (b"x", b"y")).decode()}).encode()
    for chunk in chunks:
        for part in (chunk, hostile, b"\n", chunk + b"\n"):
            list(entries.feed(part))
    entries.settle(0)
