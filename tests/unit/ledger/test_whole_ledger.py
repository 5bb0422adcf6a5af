import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.ledger import new_records, whole_ledger
from runc_wrap.ledger.decision_record import LaidFilters

LONG = json.dumps({"id": "a" * 70_000}).encode()
LINE = {"time": "2026-01-01T00:00:00Z", "id": "a", "root": "/r", "action": "inject", "filters": 1}


def write(directory: Path, name: str, *lines: object) -> None:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    (directory / name).write_bytes(b"".join(text + b"\n" for text in texts))


def test_the_last_record_of_root_and_id_counts(tmp_path: Path) -> None:
    write(tmp_path, "ledger.2.jsonl", {**LINE, "reason": "1"}, {**LINE, "id": "old", "reason": "2"})
    write(tmp_path, "ledger.1.jsonl", {**LINE, "reason": "3"}, {**LINE, "root": "/other"})
    write(tmp_path, "ledger.jsonl", {**LINE, "reason": "4"}, {**LINE, "reason": "5"})
    found = whole_ledger.read(tmp_path)
    assert found.damaged == 0
    reasons = {key: record.reason for key, record in found.records.items()}
    assert reasons == {("/r", "a"): "5", ("/r", "old"): "2", ("/other", "a"): None}
    assert found.roots == {"/r", "/other"}
    assert found.of("/r", "b") is None


def test_a_line_of_tighten_is_no_decision_and_a_containers_last_counts(tmp_path: Path) -> None:
    laid = {"time": "2", "id": "a", "root": "/r", "action": "tighten", "first": [7, 70]}
    both = [{**laid, "laid": ["one"]}, {**laid, "laid": ["one", "two"], "partly": ["one"]}]
    foreign = {**laid, "id": "foreign", "laid": "no list", "first": None}
    write(tmp_path, "ledger.jsonl", LINE, *both, foreign)
    found = whole_ledger.read(tmp_path)
    assert [*found.records] == [("/r", "a")]
    assert found.starts["/r", "a"] == (LINE["time"], 1)
    assert found.tightened == {
        ("/r", "a"): LaidFilters(("one", "two"), (7, 70), ("one",)),
        ("/r", "foreign"): LaidFilters((), (), ()),
    }
    assert [one.action for one in new_records.Following(tmp_path, {}).records()] == ["inject"]


def test_a_candidate_of_an_earlier_start_is_remembered(tmp_path: Path) -> None:
    beside = {**LINE, "candidate": "next"}
    write(tmp_path, "ledger.1.jsonl", beside, {**LINE, "id": "b"}, {**beside, "id": "c"})
    write(tmp_path, "ledger.jsonl", LINE, LINE)
    found = whole_ledger.read(tmp_path).records
    assert [name for (_, name), one in found.items() if one.had_candidate] == ["a"]


def test_an_agents_line_after_the_cold_paths_decision_does_not_count(tmp_path: Path) -> None:
    for first, second, counts in ((7, 7, "cold"), (7, 8, "agent"), (None, None, "agent")):
        lines = [{**LINE, "via": "cold", "pid": first}, {**LINE, "via": "agent", "pid": second}]
        write(tmp_path, "ledger.jsonl", *lines, {**lines[1], "root": "/other"})
        found = whole_ledger.read(tmp_path)
        assert [one.via for one in found.records.values()] == [counts, "agent"]


DAMAGED = [b"{", b"[]", b"null", b'{"id": 5}', b'{"root": "/r"}', b"\xff\xfe", LONG,
           b'{"id": "a", "root": "/r\\u0000x"}', b'{"id": "a\\u0000", "root": "/r"}']  # fmt: skip


def test_damaged_lines_are_counted_and_skipped(tmp_path: Path) -> None:
    for damaged in DAMAGED:
        write(tmp_path, "ledger.jsonl", LINE, damaged, {**LINE, "id": "b"})
        found = whole_ledger.read(tmp_path)
        assert found.damaged == 1
        assert {name for _, name in found.records} == {"a", "b"}


def test_a_truncated_record_at_the_end_is_damaged(tmp_path: Path) -> None:
    text = json.dumps(LINE)
    (tmp_path / "ledger.jsonl").write_text(f"{text}\n{text[:-5]}")
    assert whole_ledger.read(tmp_path).damaged == 1


def test_a_torn_record_does_not_damage_the_next_which_is_joined_to_it(tmp_path: Path) -> None:
    """A power failure leaves the last line torn; what comes after the boot is appended to that."""
    whole, torn, after = (
        json.dumps({**LINE, "id": name}, separators=(",", ":")) for name in ("a", "torn", "b")
    )
    (tmp_path / "ledger.jsonl").write_text(f"{whole}\n{torn[:40]}{after}\n")
    found = whole_ledger.read(tmp_path)
    assert (found.damaged, [name for _, name in found.records]) == (1, ["a", "b"])
    following = new_records.Following(tmp_path, {})
    assert [record.id for record in following.records()] == ["a", "b"]
    assert following.damaged == 1


def test_the_number_of_expected_filters_is_known() -> None:
    rows: list[tuple[dict[str, Any], int]] = [
        ({"action": "leave"}, 0),
        ({"action": "keep"}, 1),
        ({"action": "inject"}, 1),
        ({"action": "inject", "filters": 2}, 2),
        ({"action": "keep", "filters": 0}, 0),
        ({"action": "inject", "filters": True}, 1),
        ({"action": "leave", "filters": -1}, 0),
        ({}, 0),
    ]
    for line, filters in rows:
        assert ledger_record.of({"id": "a", **line}).filters == filters, line


def test_only_the_end_of_a_huge_file_is_read(tmp_path: Path) -> None:
    write(tmp_path, "ledger.jsonl", *({**LINE, "id": str(n)} for n in range(100)))
    found = whole_ledger.read(tmp_path, 1000)
    assert ("/r", "99") in found.records
    assert len(found.records) < 20


def test_a_file_that_is_not_regular_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ledger.jsonl")
    (tmp_path / "ledger.1.jsonl").mkdir()
    assert whole_ledger.read(tmp_path).records == {}


def test_a_file_in_the_directorys_place_is_no_empty_ledger(tmp_path: Path) -> None:
    """`verify` would find nothing wrong with containers that it does not know."""
    (tmp_path / "ledger").touch()
    with pytest.raises(NotADirectoryError):
        whole_ledger.read(tmp_path / "ledger")


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "ledger.jsonl").write_bytes(text)
        found = whole_ledger.read(Path(name))
    assert found.damaged + len(found.records) <= text.count(b"\n") + 1
