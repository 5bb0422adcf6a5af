"""kubectl runc-wrap, by a stand-in for kubectl: who is asked, how often, and what is made of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.host.processes import environment, wait_until
from harness.node.node_reports import call, document, workload
from runc_wrap import time_text
from runc_wrap.fleet.kubectl import Kubectl
from runc_wrap.fleet.node_list import AskedNode
from runc_wrap.fleet.node_queries import Asking, Query
from runc_wrap.host.progress_meter import Meter
from tests.unit.fleet.conftest import StandIn, failure, run

WEB, DB = workload("web"), workload("db")


def _merged(*words: str) -> Any:
    return json.loads(run("report", "--json", *words).stdout)


def test_of_candidates_only_reports_on_candidates_are_merged(cluster: StandIn) -> None:
    cluster.node("a", document("a", WEB, form=2))
    cluster.node("b", document("b", WEB))
    result = run("report", "--candidate")
    assert "1 node answered" in result.stdout
    assert "is not a report on candidates, which --candidate merges" in result.stderr
    assert any(one.endswith("cluster report --candidate") for one in cluster.calls)


UNANSWERED: dict[str, tuple[dict[str, Any], str, int]] = {
    "no pod": ({"phase": ""}, "the installer has no pod on it", 0),
    "not running": ({"phase": "Pending"}, "its pod pod-x is Pending", 0),
    "refused": ({"script": "echo 'error: forbidden' >&2; exit 1"}, "error: forbidden", 2),
    "silent": ({"script": "exit 0"}, "it answered nothing", 2),
    "slow": ({"script": "exec sleep 300"}, "` did not end within 3 s", 2),
    "endless": ({"script": "exec cat /dev/zero"}, "it answered with more than 16 MiB", 2),
    "truncated": ({"answer": json.dumps(document("x", WEB))[:-9]}, "is not one document", 2),
    "not JSON": ({"answer": "\x1b[31mwhat"}, "is not one document", 2),
    "two": ({"answer": "[]\n[]\n"}, "is not one document", 2),
}


@pytest.mark.parametrize("kind", UNANSWERED)
def test_a_node_that_does_not_answer_is_asked_twice_and_named(cluster: StandIn, kind: str) -> None:
    how, why, attempts = UNANSWERED[kind]
    cluster.node("a", document("a", WEB))
    cluster.node("x", **how)
    result = run("report", "--json", "--seconds", "3" if kind == "slow" else "60", status=1)
    found = json.loads(result.stdout)
    (silent,) = found["silent"]
    assert (silent["node"], why in silent["error"]) == ("x", True)
    assert (found["nodes"], cluster.attempts("x")) == (1, attempts)


def test_what_a_node_says_is_shown_escaped(cluster: StandIn) -> None:
    cluster.node("x", "\x1b[31mwhat", script="printf '\\033[31m' >&2; exit 1")
    shown = run("report").stderr
    assert "  x: " in shown
    assert "\x1b" not in shown


def test_no_node_can_speak_for_another(cluster: StandIn) -> None:
    """A hostile node says that it is another, and that all is well there."""
    cluster.node("a", document("b", workload("web")))
    cluster.node("b", document("b", workload("web", call())))
    found = _merged()
    assert (found["nodes"], found["refused"], found["workloads"][0]["verdict"]) == (2, [], "denied")
    cluster.node("c", [workload(node="a")])
    assert [one["node"] for one in _merged()["silent"]] == ["c"]


def test_who_calls_itself_another_system_is_named(cluster: StandIn) -> None:
    cluster.node("a", document("a", WEB))
    cluster.node("win\x1b", phase="", state=("", "", "", "True"), system="windows")
    result = run("report", status=0)
    assert 'they do not run Linux: 1 node ("win' in result.stderr
    assert [name[:3] for name in _merged()["not_linux"]] == ["win"]
    assert "not for it: says that it runs windows" in run("status", status=0).stdout
    cluster.node("hiding", document("hiding", workload("web", call())), system="windows")
    assert _merged()["workloads"][0]["verdict"] == "denied"


def test_the_time_of_a_report_is_ours_and_not_what_its_node_says(cluster: StandIn) -> None:
    before = time_text.rfc3339(time.time()) or ""
    cluster.node("a", document("a", WEB, generated="1999-01-01T00:00:00Z"))
    cluster.node("b", [WEB])
    assert before <= _merged()["oldest"] <= (time_text.rfc3339(time.time()) or "")


def test_a_node_that_is_left_out_is_not_asked(cluster: StandIn) -> None:
    cluster.node("a", document("a", WEB))
    cluster.node("b", script="exit 1")
    result = run("report", "--without", "b")
    assert (result.exit_code, cluster.attempts("b")) == (0, 0)
    assert "note: left out by --without: b\n" in result.stderr


def test_few_are_asked_at_once_and_all_in_the_end(cluster: StandIn) -> None:
    script = "mkdir running.$pod; ls -d running.* | wc -l >> seen; sleep 0.05; rmdir running.$pod"
    for at in range(20):
        cluster.node(f"n{at}", document(f"n{at}", WEB), script=script)
    assert _merged("--at-once", "3")["nodes"] == 20
    seen = [*map(int, (cluster.place / "seen").read_text().split())]
    assert (len(seen), max(seen) <= 3) == (20, True)


def test_what_was_collected_can_be_saved_and_merged_again(cluster: StandIn, tmp_path: Path) -> None:
    cluster.node("a", document("a", WEB))
    cluster.node("b", phase="")
    place = tmp_path / "fleet.json"
    first = _merged("--save", str(place))
    assert first.pop("oldest")
    lines = [json.loads(one) for one in place.read_text().splitlines()]
    assert [one["asked"] for one in lines[::2]] == [one["node"] for one in lines[1::2]]
    assert {one["node"] for one in lines[1::2]} == {"a", "b"}
    from runc_wrap.cli.root_command import main  # noqa: PLC0415 - only here

    again = CliRunner().invoke(main, ["report", "--merge", "--json", str(place)])
    assert json.loads(again.stdout).items() >= first.items()
    saved = place.read_bytes()
    assert run("report", "--save", str(place), "--at-once", "0").exit_code == 2
    assert place.read_bytes() == saved


def test_an_answer_that_cannot_be_written_ends_nothing(cluster: StandIn, tmp_path: Path) -> None:
    """orjson reads what is nested 1,000 deep, and writes 250."""
    text = json.dumps(document("a"))
    cluster.node("a", text[:-1] + ', "more": ' + "[" * 500 + "]" * 500 + "}")
    cluster.node("b", document("b", WEB))
    place = tmp_path / "fleet.json"
    assert _merged("--save", str(place))["workloads"][0]["nodes"] == 1
    lines = {one["node"]: one for one in map(json.loads, place.read_text().splitlines()[1::2])}
    assert "cannot be saved" in lines["a"]["error"]
    assert lines["b"]["workloads"]


def test_one_workload_and_a_suggestion(cluster: StandIn) -> None:
    row = workload("web", call("setns", 308))
    cluster.node("a", document("a", row))
    cluster.node("b", document("b", DB))
    assert run("report", "shop/web/app").stdout.startswith("shop/web/app: DENIED")
    result = run("suggest", "--allow-dangerous", "shop/web/app", status=0)
    assert ["setns"] in [one["names"] for one in json.loads(result.stdout)["add"]]
    assert 'profile = "runtime-default + setns"' in result.stderr
    assert "in config.toml of the ConfigMap runc-wrap-policy" in result.stderr
    withheld = run("suggest", "shop/web/app").stderr
    assert "`kubectl runc-wrap suggest --allow-dangerous -- shop/web/app`" in withheld
    assert "runc-wrapctl" not in result.stderr + withheld
    run("suggest", "shop/none/app", status=2)


def test_status_shows_what_the_installer_says_of_each_node(cluster: StandIn) -> None:
    cluster.node("a")
    run("status", status=0)
    cluster.node("b", state=("", "", "refused \x1b[31m", "Unknown"))
    result = run("status", status=1)
    assert ("not ready" in result.stdout, "\x1b" in result.stdout) == (True, False)
    found = json.loads(run("status", "--json").stdout)
    assert [(one["name"], one["is_ready"]) for one in found] == [("a", True), ("b", False)]
    assert not any("exec" in one for one in cluster.calls)


DOUBTS = [
    ("", "True", "the installer has no pod on it"),
    ("Pending", "True", "its pod pod-a is Pending"),
    ("Running", "Unknown", "its kubelet is not ready"),
]


@pytest.mark.parametrize(("phase", "health", "why"), DOUBTS)
def test_status_does_not_believe_a_label_that_nobody_looks_after(
    cluster: StandIn, phase: str, health: str, why: str
) -> None:
    """A DaemonSet that was deleted, a taint, a machine that is off: the label stays."""
    cluster.node("a", phase=phase, state=("true", "0.2.0", "ready 1f0c5b2e9a44", health))
    cluster.node("b")
    result = run("status", status=1)
    (row,) = (line for line in result.stdout.splitlines() if line.startswith("a "))
    assert all(part in row for part in ("unknown", f"ready 1f0c5b2e9a44; {why}"))
    found = json.loads(run("status", "--json").stdout)
    assert [(one["name"], one["doubt"]) for one in found] == [("a", why), ("b", None)]


WELL = {"state": "ready", "since": "2026-11-26T10:00:00Z", "engine": "containerd 1.7.24"}
FAILED = {"step": "register", "count": 2, "again": "2026-11-26T11:00:00Z", "reason": "no canary"}


def test_only_the_named_node_is_asked_and_its_whole_state_is_printed(cluster: StandIn) -> None:
    cluster.node("a", WELL | {"remarks": ["restart it"]})
    cluster.node("b", WELL)
    result = run("status", "a", status=0)
    lines = ["node a", "state ready", f"since {WELL['since']}", "engine containerd 1.7.24"]
    shown = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert shown == [*lines, "remark restart it"]
    (asked,) = (one for one in cluster.calls if "pod-" in one)
    container = "--namespace runc-wrap pod-a --container installer"
    assert asked == f"exec {container} -- /runc-wrap/bin/runc-wrapctl cluster state"


def test_a_node_that_is_not_well_is_told_with_what_comes_next(cluster: StandIn) -> None:
    cluster.node("a", {"state": "reverted", "reason": "no canary", "attempts": [FAILED]})
    result = run("status", "a", status=1)
    assert "reason   no canary" in result.stdout
    told = "failed   register (2 times; tried again after 2026-11-26T11:00:00Z): no canary"
    assert told in result.stdout.splitlines()


def test_a_node_that_lies_about_its_name_is_told_by_its_own(cluster: StandIn) -> None:
    cluster.node("a", WELL | {"node": "b"})
    assert json.loads(run("status", "a", "--json").stdout)["node"] == "a"


HOSTILE: list[Any] = [
    {"state": "\x1b[31mready", "reason": "a\nnode     b", "remarks": ["\x07"], "attempts": [3, {}]},
    {"state": {"a": []}, "since": 3, "remarks": "x" * 5000, "attempts": {"a": 1}},
    {"state": ["ready"], "reason": "x" * 100_000, "remarks": ["y"] * 100_000},
    {},
]


@pytest.mark.parametrize("answer", HOSTILE)
def test_what_a_node_says_can_be_printed_whatever_it_is(cluster: StandIn, answer: Any) -> None:
    cluster.node("a", answer)
    result = run("status", "a", status=1)
    assert all(c.isprintable() or c == "\n" for c in result.stdout)
    assert len(result.stdout) < 64_000
    assert sum(line.startswith("node ") for line in result.stdout.splitlines()) == 1


def test_a_node_that_is_not_there_or_does_not_answer_is_said(cluster: StandIn) -> None:
    cluster.node("a", phase="")
    assert "the cluster lists no Linux node b" in failure("status", "b")
    assert "a: the installer has no pod on it" in failure("status", "a")


def test_words_for_kubectl_are_passed_on(cluster: StandIn) -> None:
    cluster.node("a", document("a", WEB))
    run("--context", "c", "--as", "me", "-n", "other", "report")
    assert all(one.startswith("--context=c --as=me ") for one in cluster.calls)
    assert any("exec --namespace other pod-a" in one for one in cluster.calls)


def test_a_cluster_that_cannot_be_listed_ends_with_a_sentence(
    cluster: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "lists no Linux node" in run("report").stderr
    (cluster.place / "nodes").unlink()
    run("report", status=2)
    monkeypatch.setenv("PATH", "/nowhere")
    assert "kubectl is not in PATH" in failure("report")


def test_ctrl_c_ends_it_at_once_and_all_that_it_started(cluster: StandIn) -> None:
    for name in "abc":
        cluster.node(name, script="echo $$ >> pids; exec sleep 300")
    code = "from runc_wrap.cli.kubectl_plugin import start; start()"
    argv, env = [sys.executable, "-c", code, "report"], environment(PATH=os.environ["PATH"])
    out, err = subprocess.DEVNULL, subprocess.PIPE
    process = subprocess.Popen(argv, stdout=out, stderr=err, text=True, env=env)
    pids = cluster.place / "pids"
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 3, "three", 60)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert "Traceback" not in complaint
    started = [int(one) for one in pids.read_text().split()]
    assert not [one for one in started if (cluster.place / f"/proc/{one}").exists()]


def test_no_more_answers_are_waited_for_than_may_be_held(cluster: StandIn) -> None:
    names = [f"n{at}" for at in range(20)]
    for name in names:
        cluster.node(name, document(name, WEB))
    taken: list[str] = []

    class Nodes(list[AskedNode]):
        def __iter__(self) -> Iterator[AskedNode]:
            for one in list.__iter__(self):
                taken.append(one.node)
                yield one

    where = Kubectl(str(cluster.place / "kubectl"), namespace="n")
    query = Query(where, ("report",), Asking(3, 60.0))
    documents = query.documents(Nodes(AskedNode(name, f"pod-{name}") for name in names), Meter())
    assert next(documents)[0]["node"] in taken
    assert len(taken) == 3
    documents.close()
