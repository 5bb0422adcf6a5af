import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.node.requirements import program
from harness.shown import reports
from runc_wrap.hotpath import decision, ledger_file
from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.ledger import new_records
from runc_wrap.ledger.decision_record import Record
from runc_wrap.metrics import counter_state, metrics_collector, prometheus_series

LINE = {"id": "a", "action": "inject", "mode": "audit", "via": "cold", "engine": "podman"}
_, OLDER, NEWER = ledger_file.OLDEST_FIRST


def append(path: Path, *lines: Any) -> None:
    with path.open("ab") as file:
        for line in lines:
            file.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")


def numbered(first: int, last: int) -> list[dict[str, Any]]:
    return [{**LINE, "id": f"c{n}"} for n in range(first, last)]


class Passes:
    """Passes over one ledger; each returns the ids that are new."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.positions: new_records.Positions = {}
        self.damaged = self.gaps = 0

    def __call__(self) -> list[str]:
        one = new_records.Following(self.directory, self.positions)
        found = [record.id for record in one.records()]
        self.positions = one.positions or self.positions
        self.damaged += one.damaged
        self.gaps += one.gaps
        return found


@pytest.fixture
def new(tmp_path: Path) -> Passes:
    return Passes(tmp_path)


def test_a_rotation_loses_and_repeats_nothing(tmp_path: Path, new: Passes) -> None:
    append(tmp_path / NEWER, *numbered(0, 3))
    assert len(new()) == 3
    append(tmp_path / NEWER, *numbered(3, 5))
    (tmp_path / NEWER).rename(tmp_path / OLDER)
    append(tmp_path / NEWER, *numbered(5, 6))
    append(tmp_path / OLDER, *numbered(6, 7))  # by one who had it open
    assert sorted(new()) == ["c3", "c4", "c5", "c6"]
    append(tmp_path / OLDER, *numbered(7, 8))
    assert new() == ["c7"]
    assert (new.damaged, new.gaps) == (0, 0)


def test_two_rotations_between_two_passes_are_detected(tmp_path: Path, new: Passes) -> None:
    append(tmp_path / NEWER, *numbered(0, 3))
    new()
    (tmp_path / NEWER).unlink()
    append(tmp_path / OLDER, *numbered(10, 12))
    append(tmp_path / NEWER, *numbered(12, 13))
    assert sorted(new()) == ["c10", "c11", "c12"]
    assert new.gaps == 1
    new()
    assert new.gaps == 1


def test_a_file_with_another_beginning_is_read_from_the_start(tmp_path: Path, new: Passes) -> None:
    append(tmp_path / NEWER, *numbered(0, 3))
    new()
    (tmp_path / NEWER).write_bytes(b"")
    append(tmp_path / NEWER, *numbered(7, 8))
    assert new() == ["c7"]


def test_a_decision_has_one_of_few_reasons() -> None:
    rows: list[tuple[dict[str, Any], str]] = [
        ({"action": "inject", "declared": "unset"}, "default"),
        ({"action": "inject", "declared": "unset", "rule": "r"}, "rule"),
        ({"action": "inject", "declared": "runtime-default", "rule": "r"}, "annotation"),
        ({"action": "inject", "declared": "localhost/x.json"}, "annotation"),
        ({"action": "inject", "declared": "privileged"}, "privileged"),
        ({"action": "keep", "declared": decision.OWN_PROFILE}, "own-profile"),
        ({"action": "keep", "declared": decision.READY_MADE}, "ready-made"),
        ({"action": "keep", "declared": decision.ENGINE_DEFAULT}, "engine-default"),
        ({"action": "inject", "declared": decision.ENGINE_DEFAULT, "rule": "r"}, "adopted"),
        ({"action": "leave", "reason": 'The rule "x" turns it off; it replaces x.'}, "off"),
        ({"action": "leave", "reason": "The container is privileged."}, "privileged"),
        ({"action": "leave", "reason": 'The annotation "a" opts out.'}, "opted-out"),
        ({"action": "leave", "reason": 'The rule "x" turns it off.'}, "off"),
        ({"action": "leave", "reason": "The policy's default turns it off."}, "off"),
        ({"action": "leave", "reason": "Started unmodified: disk"}, "failed-open"),
        ({"action": "leave", "reason": "The config has no linux section."}, "no-linux"),
        ({"action": "leave", "reason": ["a", "list"]}, "other"),
        ({"action": "hop"}, "other"),
        ({}, "other"),
    ]
    for line, kind in rows:
        assert metrics_collector.reason_kind(_record(line)) == kind, line


def _record(line: dict[str, Any]) -> Record:
    return ledger_record.of({"id": "c", **line})


def counted(*lines: dict[str, Any]) -> counter_state.CounterState:
    found = counter_state.CounterState()
    for line in lines:
        metrics_collector.count_decision(found, _record(line))
    return found


def families(found: counter_state.CounterState) -> dict[str, dict[Any, float]]:
    text = prometheus_series.text_of(prometheus_series.families(found, 7, "1.0", 5.0, {})).decode()
    return {
        family.name: {
            tuple(sorted(sample.labels.items())): sample.value for sample in family.samples
        }
        for family in text_string_to_metric_families(text)
    }


def test_decisions_are_counted_by_mode_action_reason_way_and_engine() -> None:
    opted = {"action": "leave", "reason": 'The annotation "a" opts out.', "via": "agent"}
    lines = (LINE, LINE, opted, {**LINE, "fallback": True, "declared": "privileged"})
    found = families(counted(*lines))
    labels = {"action": "inject", "engine": "podman", "mode": "audit"}
    labels |= {"reason_kind": "default", "via": "cold"}
    assert found["runc_wrap_decisions"][tuple(labels.items())] == 2
    assert found["runc_wrap_opted_out"] == {(): 1}
    assert found["runc_wrap_privileged"] == {(): 1}
    assert found["runc_wrap_agent_fallbacks"] == {(): 1}
    assert found["runc_wrap_policy_generation"] == {(): 7}
    assert found["runc_wrap_build_info"] == {(("version", "1.0"),): 1}


def test_invented_values_create_no_series() -> None:
    lines = [
        {"action": f"a{n}", "mode": f"m{n}", "via": ["x"], "engine": {}, "fallback": f"f{n}"}
        for n in range(100)
    ]
    assert {len(one) for one in counted(*lines).counts.values()} == {1}


def test_series_are_bounded_and_the_rest_counts_as_other() -> None:
    found = counter_state.CounterState()
    for n in range(counter_state.MOST_SERIES + 50):
        for _ in range(2):
            found.add_bounded("m", (f"ns{n}", "w"), 1)
    assert len(found.counts["m"]) == counter_state.MOST_SERIES + 1
    assert found.counts["m"]["ns0", "w"] == 2
    assert found.counts["m"]["other", "other"] == 100
    found.begin_if_full("m")
    found.add_bounded("m", ("late", "w"), 1)
    assert found.counts["m"] == {("late", "w"): 1}
    found.begin_if_full("m")
    assert found.counts["m"] == {("late", "w"): 1}


def test_a_damaged_tally_starts_from_zero(tmp_path: Path) -> None:
    whole = '{"version": 1, "positions": {}, "had": {}, "counts": %s, "judged": %s}'
    for text in (
        *("", "{", "[]", '{"version": 2}', '{"version": 1, "had": []}'),
        whole.replace('"positions": {}', '"positions": []') % ("{}", "{}"),
        whole % ('{"m": [[["a"], null]]}', "{}"),
        whole % ("{}", '{"k": ["one"]}'),
    ):
        (tmp_path / "tally.json").write_text(text)
        with counter_state.kept(tmp_path) as kept:
            assert (kept.counts, kept.positions, kept.had) == ({}, {}, {})


def hostile() -> counter_state.CounterState:
    """Return a call denied to workloads of such names."""
    found = counter_state.CounterState()
    for text in reports.HOSTILE:
        labels = ("n", prometheus_series.label(text), "s", "denied")
        found.add_bounded(prometheus_series.DENIED_CALLS, labels, 1)
    return found


def test_hostile_names_become_labels_that_parse() -> None:
    told = families(hostile())["runc_wrap_denied_calls"]
    labels = {prometheus_series.label(text) for text in reports.HOSTILE}
    assert {dict(key)["workload"] for key in told} == labels
    assert max(map(len, labels)) < 800


def test_promtool_finds_nothing_wrong_with_all_of_it() -> None:
    found = hostile()
    for more in ({}, {"fallback": True}):
        metrics_collector.count_decision(found, _record({**LINE, **more}))
    found.add(prometheus_series.LOST, (prometheus_series.source("audit"),), 3)
    written = prometheus_series.text_of(prometheus_series.families(found, 7, "1.0", 5.0, {}))
    assert promtool(written) == (0, b"")
    assert promtool(written + b"runc_wrap_Bad 1\n")[0] != 0


def promtool(text: bytes) -> tuple[int, bytes]:
    argv = [program("promtool"), "check", "metrics"]
    ended = subprocess.run(argv, input=text, capture_output=True, check=False, timeout=60)
    return ended.returncode, ended.stdout + ended.stderr
