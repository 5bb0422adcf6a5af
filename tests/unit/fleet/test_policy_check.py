"""kubectl runc-wrap policy check: every node's answer counts, and none that is missing is safe."""

import json
import re
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.cluster.host_commands import kubectl_requests
from runc_wrap.fleet import memory_bound, policy_answers
from runc_wrap.fleet.policy_answers import PolicyAnswers
from tests.unit.fleet.conftest import StandIn, failure, run

Json = dict[str, Any]
ENFORCE = {"action": "inject", "mode": "enforce", "profile": "containerd", "reason": "x"}
AUDIT = {**ENFORCE, "mode": "audit"}
NOTHING = ("", "", "", "True")  # of the installer's labels and annotation; the node is healthy


def _change(pod: str = "web-7d9c8b5f6-x2k4p", **changes: Any) -> Json:
    names = {"namespace": "shop", "pod": pod, "container": "app", "image": "web:1", "id": "0"}
    return {**names, "now": AUDIT, "then": ENFORCE, "refused": None, **changes}


def _answer(*changes: Json, **more: Any) -> Json:
    found = {"form": 1, "node": "?", "refused": None, "remarks": [], "changes": [*changes]}
    return {**found, "changed": len(changes), **more}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('[default]\nmode = "enforce"\n')
    return path


def _check(config: Path, *words: str, status: int | None = None) -> Result:
    return run("policy", "check", "-f", str(config), *words, status=status)


def _found(config: Path) -> Json:
    found: Json = json.loads(_check(config, "--json").stdout)
    return found


def test_a_node_without_the_installer_is_named_and_no_fault(cluster: StandIn, config: Path) -> None:
    cluster.node("plane", state=NOTHING, phase="")
    assert "0 nodes would put it in force, 0 not.\n" in _check(config, status=1).stdout
    cluster.node("a", _answer())
    result = _check(config)
    told = "note: not reached, as the installer has no pod there: 1 node (plane)\n"
    assert (result.exit_code, result.stderr) == (0, told)
    assert result.stdout.splitlines() == [
        "1 node would put it in force, 0 not.",
        "No container that runs there would get another filter.",
    ]
    cluster.node("was there", state=("", "", "ready 1", "True"), phase="")  # in force, perhaps
    found = _found(config)
    assert found["not_reached"] == [{"node": "plane"}]
    assert [one["node"] for one in found["silent"]] == ["was there"]


def test_a_config_maps_policy_is_checked_beside_a_file(cluster: StandIn, tmp_path: Path) -> None:
    cluster.node("a", _answer(), script="cat > $pod.stdin")
    data = {"config.toml": "# of the map", "web.json": "{}", "note.txt": "none"}
    (cluster.place / "configmap-canary").write_text(json.dumps({"data": data}))
    (cluster.place / "configmap-empty").write_text("{}")
    (tmp_path / "0-mode.toml").write_text("# enforce")
    assert _check(tmp_path / "0-mode.toml", "--config-map", "canary").exit_code == 0
    assert "get configmap canary --namespace runc-wrap --output=json" in cluster.calls
    (line,) = (cluster.place / "pod-a.stdin").read_text().splitlines()
    sent = {"config.toml": "# of the map", "profiles/web.json": "{}"}
    assert json.loads(line) == {**sent, "conf.d/0-mode.toml": "# enforce"}
    for name, why in (("gone", "No such file"), ("empty", "ConfigMap empty has no data")):
        assert why in failure("policy", "check", "--config-map", name)


def test_who_would_refuse_it_is_named_with_the_reason(cluster: StandIn, config: Path) -> None:
    cluster.node("a", _answer())
    for name in "bc":
        cluster.node(name, _answer(refused="config.toml:2: no mode \x1b[31m"))
    result = _check(config, status=1)
    assert "1 node would put it in force, 2 not.\n" in result.stdout
    assert "Refused on 2 nodes (b, c): config.toml:2: no mode \\u001b[31m\n" in result.stdout
    assert [sorted(one["nodes"]) for one in _found(config)["refused"]] == [["b", "c"]]


def test_workloads_with_another_decision_are_added_up(cluster: StandIn, config: Path) -> None:
    cluster.node("a", _answer(_change(), _change("web-7d9c8b5f6-bbbbb")))
    cluster.node("b", _answer(_change(), _change("db-0", then={**AUDIT, "reason": "y"})))
    result = _check(config, "--json", status=0)
    keys, before = ("pod", "now", "then", "containers", "nodes"), "containerd (audit)"
    assert [tuple(one[key] for key in keys) for one in json.loads(result.stdout)["changes"]] == [
        ("web", before, "containerd (enforce)", 3, 2),
        ("db", before, "the same profile, another filter", 1, 1),
    ]
    shown = _check(config).stdout
    assert re.search(r"^shop/web/app +3 containers on 2 nodes \(", shown, re.MULTILINE)


def test_a_container_that_would_not_start_any_more_is_wrong(cluster: StandIn, config: Path) -> None:
    gone = _change(then=None, refused="the profile localhost/web.json no longer exists")
    cluster.node("a", _answer(gone, _change("db-0")))
    result = _check(config, status=1)
    first = result.stdout.splitlines()[2]
    assert "refused: the profile localhost/web.json no longer exists" in first


OLDER = "is none about a policy; its release may be an older one (changed: found nothing, wanted"
# what a node answers -> a word of why nothing is known of it
UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "no pod": ({"phase": ""}, "the installer has no pod on it"),
    "an older release": ({"script": "echo 'No such command' >&2; exit 2"}, "No such command"),
    "a report": ({"answer": {"form": 1, "node": "x", "workloads": []}}, OLDER),
    "a list": ({"answer": []}, "its answer is no node's document"),
    "another form": ({"answer": _answer(form=2)}, "(form: found 2, wanted 1)"),
    "too many": ({"answer": _answer(*[_change()] * 1001)}, "a list of at most 1000"),
    "not all listed": ({"answer": _answer(_change(), changed=7)}, "changed is 7, and 1 are listed"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_node_that_is_not_known_is_never_safe(cluster: StandIn, config: Path, kind: str) -> None:
    how, why = UNUSABLE[kind]
    cluster.node("a", _answer())
    cluster.node("x", **how)
    result = _check(config, status=1)
    assert "1 node would put it in force, 0 not." in result.stdout
    assert "1 node did not answer; whether they would take it is unknown:\n  x: " in result.stderr
    assert why in result.stderr


_VALUES: list[Any] = [None, True, -1, 3, 1e300, "", "a", "\ud800", {}, {"action": {}}, [], [[]]]
_ODD = st.sampled_from(_VALUES)
_NAMES = ("namespace", "pod", "container", "image", "id", "now", "then", "refused")
_CHANGES = st.dictionaries(st.sampled_from(_NAMES), _ODD, max_size=3)
_KEYS = ("form", "refused", "remarks", "changes", "changed", "error")


@given(st.lists(_CHANGES, max_size=3), st.dictionaries(st.sampled_from(_KEYS), _ODD, max_size=1))
def test_whatever_a_node_answers_the_others_count(changes: list[Json], odd: Json) -> None:
    found = PolicyAnswers()
    found.take(_answer(*(_change(**one) for one in changes), node="a") | odd)
    found.take(_answer(_change(), node="b"))
    assert found.taken + len(found.silent) + sum(map(len, found.refused.values())) == 2
    assert found.taken >= 1
    json.dumps(found.as_json())


def test_more_than_fits_fails_and_names_the_node_to_omit(
    cluster: StandIn, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_bound, "resident_memory", count().__next__)
    monkeypatch.setattr(memory_bound, "MOST_MEMORY", 1)
    cluster.node("a", _answer(_change("w0"), remarks=["x"]))
    cluster.node("b", _answer(*(_change(f"w{at}") for at in range(6))))
    for words in (("report",), ("policy", "check", "-f", str(config))):
        assert "leave it out by --without b" in failure(*words)
    _check(config, "--without", "b", status=0)


def test_a_node_cannot_answer_for_another(cluster: StandIn, config: Path) -> None:
    cluster.node("a", _answer(node="b"))
    cluster.node("b", _answer(refused="no"))
    assert _found(config)["refused"] == [{"why": "no", "nodes": ["b"]}]


def test_only_a_pools_nodes_are_asked_if_it_is_named(cluster: StandIn, config: Path) -> None:
    cluster.node("a", _answer())
    _check(config, "-l", "runc-wrap.dev/pool=canary")
    (listed,) = (one for one in cluster.calls if "/nodes?" in one)
    assert listed.endswith("labelSelector=runc-wrap.dev%2Fpool%3Dcanary")


@pytest.mark.parametrize(
    ("text", "why"),
    [(None, ".toml: No such file"), (b"\xff", "is not UTF-8"), (b"#" * (1 << 20) + b"#", "larger")],
)
def test_a_file_that_is_no_policy_asks_nobody(
    cluster: StandIn, tmp_path: Path, text: bytes | None, why: str
) -> None:
    cluster.node("a", _answer())
    path = tmp_path / "config.toml"
    if text is not None:
        path.write_bytes(text)
    assert why in failure("policy", "check", "-f", str(path))
    assert not (cluster.place / "calls").exists()


def test_both_sides_have_the_same_bounds() -> None:
    assert kubectl_requests.MOST_CHANGES == policy_answers.MOST_OF_NODE
    assert kubectl_requests.FORM == policy_answers.FORM


def test_the_profiles_beside_a_file_go_with_it(cluster: StandIn, config: Path) -> None:
    cluster.node("a", _answer(), script="cat > $pod.stdin")
    own = config.parent / "profiles"
    own.mkdir()
    for name in ("web.json", "note.txt"):
        (own / name).write_text("{\n}")
    assert _check(config).exit_code == 0
    sent = json.loads((cluster.place / "pod-a.stdin").read_text())
    assert sent == {"config.toml": config.read_text(), "profiles/web.json": "{\n}"}


def test_what_a_silent_node_says_is_cut() -> None:
    found = PolicyAnswers()
    found.take({"node": "a", "error": "x" * 1_000_000})
    ((_, why),) = found.silent
    assert len(why) < 5000
