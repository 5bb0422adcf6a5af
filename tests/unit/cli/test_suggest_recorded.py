"""`record` in the evidence, through report, report --merge and suggest --recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.evidence.sightings import OBSERVE, RECORDED, LossSpan
from runc_wrap.evidence.store.call_counts import RUNTIME
from runc_wrap.profiles.return_codes import USER_NOTIF
from tests.unit.cli.test_report import Evidence
from tests.unit.cli.test_report import _no_logs as no_logs  # noqa: F401 - a fixture
from tests.unit.cli.test_report_merged import APP, _file, _own
from tests.unit.evidence.samples import sighting

if TYPE_CHECKING:
    from tests.unit.cli.ctl import Node

MKDIR, SOCKET, OPENAT2, SYMLINK = 83, 41, 437, 88
NAME = "shop/web/app"


def recorded(number: int, *args: int) -> Any:
    words = (*args, 0, 0, 0, 0, 0, 0)[:6]
    code = USER_NOTIF | RECORDED
    return sighting(number)._replace(code=code, args=words, source=OBSERVE)


@pytest.fixture
def evidence(applied: Node) -> Evidence:
    made = Evidence(applied.places)
    made.store.watched(OBSERVE, made.now - 3600, made.now)
    return made


def _record(evidence: Evidence, name: str, *calls: Any) -> None:
    evidence.container(name, *calls, **APP, mode="enforce", recorded=True)
    evidence.store.add(("/run/test", name), recorded(OPENAT2), made_by=RUNTIME)
    evidence.store.flush()


def _allowed(profile: Any) -> set[str]:
    rules = [one for one in profile["syscalls"] if one["action"] == "SCMP_ACT_ALLOW"]
    return {name for one in rules for name in one["names"]}


def test_what_was_recorded_counts_for_no_verdict_and_is_what_suggest_keeps(
    applied: Node, evidence: Evidence
) -> None:
    _record(evidence, "c1", recorded(MKDIR, 0x7F00_0000), recorded(SOCKET, 2, 1))
    (row,) = _own(applied, "a")["workloads"]
    assert (row["verdict"], row["calls"]) == (None, [])
    assert row["reason"].startswith("Already enforced")
    assert (row["recorded"]["containers"], row["recorded"]["whole"]) == (1, 1)
    calls = {one["syscall"]: one for one in row["recorded"]["calls"]}
    assert calls.keys() == {"mkdir", "socket", "openat2"}
    assert (calls["socket"]["args"], calls["mkdir"]["args"]) == (
        [[2, 1, 0, None, None, None]],
        None,
    )
    made = applied.ctl("suggest", "--recorded", NAME)
    assert made.exit_code == 0, made.output
    allowed = _allowed(json.loads(made.stdout))
    assert {"mkdir", "socket", "openat2", "read", "execve", "clone", "vfork"} <= allowed
    assert not {"symlink", "kill", "bind"} & allowed
    assert "recorded: Recorded in 1 container, 1 of them from the start" in made.stderr
    assert "the runtime alone made openat2" in made.stderr
    assert "never asked: " in made.stderr
    assert "Calls may be missing" not in made.stderr


def test_nodes_are_added_up(applied: Node, evidence: Evidence) -> None:
    _record(evidence, "c1", recorded(MKDIR))
    first = _own(applied, "a")
    evidence.store.lost(LossSpan(evidence.now - 500, 3, OBSERVE, "why"))
    _record(evidence, "c2", recorded(SYMLINK))
    files = [_file(applied, "a", first), _file(applied, "b", _own(applied, "b"))]
    made = applied.ctl("suggest", "--recorded", "--merge", NAME, *files)
    assert made.exit_code == 0, made.output
    assert {"mkdir", "symlink", "openat2"} <= _allowed(json.loads(made.stdout))
    assert "Recorded in 3 containers on 2 nodes" in made.stderr
    assert "3 records lost" in made.stderr
    assert "3 records were lost while its containers ran" in made.stderr


def test_calls_of_no_known_container_are_a_doubt_and_no_strays(
    applied: Node, evidence: Evidence
) -> None:
    evidence.stray(recorded(MKDIR))
    _record(evidence, "c1", recorded(SYMLINK))
    evidence.container("c2", container="quiet")
    made = applied.ctl("suggest", "--recorded", NAME)
    assert "recorded: 1 call came of no known container." in made.stderr
    rows = _own(applied, "a")["workloads"]
    assert {one["container"]: one["verdict"] for one in rows} == {"app": None, "quiet": "safe"}


def test_in_observe_the_profile_says_what_was_only_recorded(
    applied: Node, evidence: Evidence
) -> None:
    sent = [sighting(one)._replace(code=USER_NOTIF, source=OBSERVE) for one in (MKDIR, 165)]
    evidence.container("c1", *sent, **APP, mode="observe", recorded=True)
    (row,) = _own(applied, "a")["workloads"]
    assert [one["syscall"] for one in row["calls"]] == ["mount"]
    assert [one["syscall"] for one in row["recorded"]["calls"]] == ["mkdir"]


def test_without_a_recording_it_says_how_to_make_one(applied: Node, evidence: Evidence) -> None:
    evidence.container("c1", sighting(), **APP)
    made = applied.ctl("suggest", "--recorded", NAME)
    assert made.exit_code == 2
    assert "nothing was recorded. Write record = true in the rule" in made.stderr
