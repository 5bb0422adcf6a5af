"""status and verify, on a node with simulated states and this test's own processes."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import psutil
import pytest

from runc_wrap.cli import status as status_command
from runc_wrap.filters.filter_comparison import FilterDifference
from runc_wrap.host import procfs
from runc_wrap.host.container_discovery import RuntimeContainer
from runc_wrap.node.container_state import container_status, deep_verify
from runc_wrap.node.container_state.container_processes import Process
from tests.unit.cli.ctl import Node
from tests.unit.evidence.samples import write_ledger
from tests.unit.host.test_container_discovery import runc

NOTHING = {"checked": 0, "disagreeing": [], "unchecked": [], "sampled": [], "users": []}
HOSTILE = "\x1b[31m[bold]red[/bold]\u202e\x07\nteam/db (b)\u2028"
NAMED = {"namespace": "team", "pod": "web-1", "container": "main", "image": "nginx"}
DECISION = {"action": "inject", "mode": "audit", "profile": "containerd", "declared": "unset"}
DECIDED = {**NAMED, **DECISION, "reason": "Because.", "filters": 1}


@pytest.fixture(autouse=True)
def without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_status, "_PAUSE", 0)


@pytest.fixture
def child() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"]) as started:
        yield started.pid
        started.kill()


def container(node: Node, child: int, name: str, **line: Any) -> None:
    """Make a container whose first process is `child`, which has no filter."""
    root = node.places.prefix / "root"
    start = procfs.started(child)
    runc(root, name, init_process_pid=child, init_process_start=start)
    write_ledger(node.places.ledger, {"id": name, "root": str(root), **line})


def test_the_keys_that_other_programs_read(node: Node, child: int) -> None:
    assert (node.json("status"), node.json("verify")) == ([], NOTHING)
    container(node, child, "a", **DECIDED)
    (one,) = node.json("status")
    wanted = "namespace pod container image declared action mode profile reason".split()
    assert {key: one[key] for key in wanted} == {key: DECIDED[key] for key in wanted}
    assert (one["id"], one["pid"], one["agrees"]) == ("a", child, False)
    assert one["effective"] == {"seccomp": 0, "filters": 0}
    assert [each["pid"] for each in one["deviating"]] == [child]
    result = node.ctl("verify", status=1)
    told = f"team/web-1/main (a): its first process {child} has no filter where one was decided"
    assert result.stdout.splitlines() == [told, "1 container checked, 1 disagrees"]
    result = node.ctl("verify", "--json", status=1)
    names = {"id": "a", "pid": child, "namespace": "team", "pod": "web-1", "container": "main"}
    counts = {"expected": {"seccomp": 2, "filters": 1}, "found": {"seccomp": 0, "filters": 0}}
    assert json.loads(result.stdout)["disagreeing"] == [{**names, **counts, "calls": []}]


def test_the_table(node: Node, child: int) -> None:
    container(node, child, "a", **DECIDED)
    opted = {"action": "leave", "reason": "It opted out.", "declared": "unconfined", "filters": 0}
    container(node, child, "b" * 64, **opted)
    runc(node.places.prefix / "root", "bare", init_process_start=1)
    lines = [line.split() for line in node.ctl("status").stdout.splitlines()]
    assert lines[0] == "CONTAINER PID DECLARED DECIDED KERNEL AGREES REASON".split()
    wanted = f"team/web-1/main (a) {child} unset containerd (audit) no filter NO Because."
    assert lines[1] == wanted.split()
    words = "No decision in the ledger: not started by runc-wrap, or its line is gone."
    assert lines[2] == f"bare stopped - - - - {words}".split()
    assert lines[3][:7] == ["b" * 12, str(child), "unconfined", "leave", "no", "filter", "yes"]
    assert " ".join(lines[3][7:]) == "It opted out."


def test_the_kernel_column_is_of_the_first_process_and_not_of_one_that_was_execd(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = psutil.Process()
    members = [Process(at, 1, 0, "", 0, 2, at, True, "", frozenset(), one) for at in (1, 3)]
    entry = container_status.Entry(RuntimeContainer("", "a", "", "", 1, None, 0), None, members)
    monkeypatch.setattr(status_command, "look", lambda _: container_status.Node([entry], 0, []))
    assert " 1 filter " in node.ctl("status").stdout


def test_no_foreign_control_character_reaches_the_terminal(node: Node, child: int) -> None:
    """Nor a second row: a user writes the ledger of his own containers."""
    forged = dict.fromkeys(("pod", "profile", "reason", "ignored"), HOSTILE)
    container(node, child, "a", **{**DECIDED, **forged})
    for words in (["status"], ["verify"], ["status", "--json"], ["verify", "--json"]):
        said = node.ctl(*words)
        assert not [c for c in said.output if not c.isprintable() and c != "\n"], words
        assert "--json" in words or len(said.stdout.splitlines()) == 2
    assert "[bold]red[/bold]" in node.ctl("status").stdout
    assert json.loads(node.ctl("status", "--json").stdout)[0]["pod"] == HOSTILE


def test_verify_says_that_no_container_has_a_decision_but_not_of_a_stopped_one(node: Node) -> None:
    root = node.places.prefix / "root"
    runc(root, "a", init_process_start=1)
    said = "no container here has a decision"
    left = {"root": str(root), "action": "leave", "filters": 0}
    write_ledger(node.places.ledger, {"id": "gone", **left})
    assert said in node.ctl("verify").stderr
    write_ledger(node.places.ledger, {"id": "a", **left})
    assert said not in node.ctl("verify").stderr


def test_unreadable_state_is_reported_and_exits_with_2(node: Node, child: int) -> None:
    container(node, child, "a", action="leave", filters=0)
    broken = node.places.prefix / "root" / "broken"
    broken.mkdir()
    (broken / "state.json").write_text("{")
    (node.places.ledger / "ledger.1.jsonl").write_text("{\n")
    result = node.ctl("verify", status=2)
    assert result.stdout == "1 container checked, 0 disagree\n"
    assert f"not read: {broken}" in result.stderr
    assert "1 lines of the ledger are damaged" in result.stderr


def test_deep_names_the_calls(node: Node, child: int, monkeypatch: pytest.MonkeyPatch) -> None:
    container(node, child, "a", **{**DECIDED, "filters": 0})
    one = FilterDifference("x86_64", "", 0, 0x50001, 0x7FFF0000, (40, 1, 0, 0, 0, 0))
    calls = tuple(replace(one, syscall=f"call{n}") for n in range(12))
    sampled = {f"x86_64 call{number:02}" for number in range(12)}
    found = {"seccomp": 2, "filters": 1}
    other = deep_verify.Wrong(None, {"digest": "aa"}, {"digest": "bb"})
    wrong = [deep_verify.Wrong(child, found, found, calls), other]
    partly = "of 12 calls only 4096 combinations of arguments each were compared: x86_64 call00"
    fake = SimpleNamespace(compare=Mock())
    monkeypatch.setattr(deep_verify, "Comparing", lambda _: fake)
    for some in (set[str](), sampled):  # which is no disagreement
        fake.compare.return_value = deep_verify.Result(sampled=some)
        result = node.ctl("verify", "--deep")
        assert (result.exit_code, partly in " ".join(result.output.split())) == (0, bool(some))
    fake.compare.return_value = deep_verify.Result(wrong, ["a reason"], sampled=sampled)
    result = node.ctl("verify", "--deep", status=1)
    lines = result.stdout.splitlines()
    first = f"its first process {child} (1 filter) differs from the profile decided"
    assert lines[0] == f"team/web-1/main (a): {first}"
    told = "call0(0x28, 1, 0, 0, 0, 0): SCMP_ACT_ALLOW instead of SCMP_ACT_ERRNO(EPERM)"
    assert (lines[1], lines[11]) == (f"    x86_64 {told}", "    and 2 more calls")
    assert "is not the one that was decided (digest bb, recorded aa)" in lines[12]
    assert lines[13:] == ["1 container checked, 1 disagrees"]
    assert "not checked: team/web-1/main (a): a reason\n" in result.stderr
    assert partly in " ".join(result.output.split())
    assert "call11" not in result.output  # of ten
    document = json.loads(node.ctl("verify", "--deep", "--json").stdout)
    assert document["sampled"] == [{"id": "a", "calls": sorted(sampled)}]
    one, _ = document["disagreeing"]
    assert len(one["calls"]) == 12
    assert one["calls"][0]["syscall"] == "call0(0x28, 1, 0, 0, 0, 0)"


def test_sources_newer_than_the_policy_in_force_are_named(applied: Node) -> None:
    assert applied.ctl("status").stderr == ""
    applied.configure('on_error = "run-unmodified"\n')
    result = applied.ctl("status", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    said = "not in force yet: config.toml has changed. Run `runc-wrapctl apply`."
    assert result.stderr == f"{said}\n"
    assert (applied.ctl("apply").exit_code, applied.ctl("status").stderr) == (0, "")


def test_it_says_that_nothing_is_recorded(applied: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "recorded" not in applied.ctl("status").stderr
    there = os.statvfs(applied.places.var)
    read_only = [*there[:8], there.f_flag | os.ST_RDONLY, there[9]]
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(read_only))
    said = applied.ctl("status").stderr
    assert "is mounted read-only: no decision is recorded" in said
    assert "mount -o remount,rw" in said
