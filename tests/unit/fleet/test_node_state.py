"""kubectl runc-wrap status NODE: the whole state, from the installer's pod on that node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from runc_wrap.cli import cluster as cluster_command
from runc_wrap.cli.root_command import main
from runc_wrap.cluster import state_file
from runc_wrap.cluster.next_step import REGISTER, REVERTED
from runc_wrap.cluster.state_file import Attempt
from runc_wrap.node.paths import Places
from tests.unit.fleet.conftest import run

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from tests.unit.fleet.stand_in import StandIn

WELL = {"state": "ready", "since": "2026-11-26T10:00:00Z", "engine": "containerd 1.7.24"}
FAILED = {"step": "register", "count": 2, "again": "2026-11-26T11:00:00Z", "reason": "no canary"}


def _status(*words: str) -> Result:
    return run("status", *words)


def test_only_the_named_node_is_asked_and_its_whole_state_is_printed(cluster: StandIn) -> None:
    cluster.node("a", WELL | {"remarks": ["restart it"]})
    cluster.node("b", WELL)
    result = _status("a")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "node     a",
        "state    ready",
        "since    2026-11-26T10:00:00Z",
        "engine   containerd 1.7.24",
        "remark   restart it",
    ]
    (asked,) = (one for one in cluster.calls if "pod-" in one)
    container = "--namespace runc-wrap pod-a --container installer"
    assert asked == f"exec {container} -- /runc-wrap/bin/runc-wrapctl cluster state"


def test_a_node_that_is_not_well_is_told_with_what_comes_next(cluster: StandIn) -> None:
    cluster.node("a", {"state": "reverted", "reason": "no canary", "attempts": [FAILED]})
    result = _status("a")
    assert result.exit_code == 1
    assert "reason   no canary" in result.stdout
    told = "failed   register (2 times; tried again after 2026-11-26T11:00:00Z): no canary"
    assert told in result.stdout.splitlines()


def test_a_node_that_lies_about_its_name_is_told_by_its_own(cluster: StandIn) -> None:
    cluster.node("a", WELL | {"node": "b"})
    assert json.loads(_status("a", "--json").stdout)["node"] == "a"


HOSTILE: list[Any] = [
    {"state": "\x1b[31mready", "reason": "a\nnode     b", "remarks": ["\x07"], "attempts": [3, {}]},
    {"state": {"a": []}, "since": 3, "remarks": "x" * 5000, "attempts": {"a": 1}},
    {"state": ["ready"], "reason": "x" * 100_000, "remarks": ["y"] * 100_000},
    {},
]


@pytest.mark.parametrize("answer", HOSTILE)
def test_what_a_node_says_can_be_printed_whatever_it_is(cluster: StandIn, answer: Any) -> None:
    cluster.node("a", answer)
    result = _status("a")
    assert result.exit_code == 1
    assert all(c.isprintable() or c == "\n" for c in result.stdout)
    assert len(result.stdout) < 64_000
    assert sum(line.startswith("node ") for line in result.stdout.splitlines()) == 1


def test_a_node_that_is_not_there_or_does_not_answer_is_said(cluster: StandIn) -> None:
    cluster.node("a", phase="")
    result = _status("b")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the cluster lists no Linux node b" in result.stderr
    result = _status("a")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a: the installer has no pod on it" in result.stderr


def test_the_pods_command_prints_what_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path)
    monkeypatch.setattr(cluster_command, "_PLACES", places)

    def document() -> Any:
        return json.loads(CliRunner().invoke(main, ["cluster", "state"]).stdout)

    assert (document()["state"], document()["since"], document()["attempts"]) == (None, None, [])
    state_file.show(places, state="reverted", reason="no canary")
    failure = Attempt(REGISTER, "k", 0.0, 1, REVERTED, "no canary")
    state_file.change(places, remarks=("a",), failed=(failure,))
    found = document()
    assert (found["state"], found["remarks"]) == ("reverted", ["a"])
    assert found["since"].startswith("20")
    (failed,) = found["attempts"]
    assert (failed["step"], failed["at"], failed["again"]) == (
        "register", "1970-01-01T00:00:00Z", "1970-01-01T00:10:00Z",
    )  # fmt: skip
