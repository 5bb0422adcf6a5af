"""What is read of a node's object, and what the installer tells: labels, taints, Events, a log."""

from typing import Any

import kubernetes_validate
import pytest

from runc_wrap.cluster import api_server, node_object, state_file
from runc_wrap.cluster.node_object import INSTALLED, Wanted
from tests.unit.cluster.api_stand_in import merged
from tests.unit.cluster.conftest import READY, Scene


def test_what_the_engine_has_not_read_is_told_and_no_installation_afterwards(ready: Scene) -> None:
    """The node stays ready, and becomes so without a canary."""
    ready.host.drift = ["config.toml was changed; restart it"]
    ready.passes("drifted", "status status", times=2)
    assert (ready.state.split()[0], ready.labels[READY]) == ("drifted", "true")
    ready.host.drift = []
    ready.passes("ready", times=2)
    assert ready.reasons[2:] == ["Drifted", "Ready"]
    assert [(one["type"], one["note"]) for one in ready.api.events[2:]] == [
        ("Warning", "config.toml was changed; restart it"),
        ("Normal", "runc-wrap 0.2.0 is ready again: it was drifted"),
    ]


def test_a_canary_that_failed_is_not_told_as_one_that_ran(ready: Scene) -> None:
    ready.host.upgraded, ready.host.fails["prove"] = True, "no canary"
    ready.passes("unproved")
    ready.host.upgraded = False  # the engine is the one before again
    ready.passes("ready")
    assert ready.reasons[2:] == ["Unproved", "Ready"]


UNKNOWN = "config.toml:1: defualt is not a setting (did you mean default?)"
FINDINGS = [
    f"{UNKNOWN}; there are {'x, ' * 200}",
    "config.toml:4: default.mode is 'enforc'; it takes enforce or off (did you mean enforce?).",
    "config.toml:6: rule.nme is not a setting (did you mean rule.name?).",
]
FACE = "\U0001f600"
SHORT = [
    (FINDINGS, f"{UNKNOWN} (and 2 more; all in "),
    (FINDINGS[:1], f"{UNKNOWN} (the whole in "),
    (FINDINGS[1:], f"{FINDINGS[1]} (and 1 more; all in "),
    (FINDINGS[1:2], FINDINGS[1]),
    (["y" * 3000], f"{'y' * 299}… (the whole in "),
    ([FACE * 7999], FACE * 200),
]


@pytest.mark.parametrize(("findings", "note"), SHORT)
def test_the_event_of_a_refused_policy_has_its_first_finding_and_the_state_has_all(
    ready: Scene, findings: list[str], note: str
) -> None:
    ready.write_policy("[defualt]")
    said = "\n".join(findings)
    ready.host.fails["apply"] = f"a warning\nError: {said}\n"
    pod = ready.installer()
    ready.passes("policy-refused", by=pod)
    told = ready.api.events[-1]["note"]
    assert told.startswith(note)
    assert len(told) < 450
    kept = state_file.read(ready.host.places).reason.split("\n")
    assert kept == [one.strip() for one in findings]
    ready.passes("policy-refused", "status", by=pod)  # nor is it tried again, or told
    assert ready.reasons.count("PolicyRefused") == 1


def test_the_api_server_may_go_away_in_the_middle(scene: Scene) -> None:
    installer = scene.installer()
    down = scene.api.port

    def away() -> None:
        scene.kubelet_lists_it()
        scene.api.port = 1

    scene.host.on_register = away
    scene.passes("waiting", by=installer)
    assert "register" in scene.host.done
    assert READY not in scene.labels
    assert any("does not answer" in each for each in scene.told)
    heard = [installer.reporter.is_heard]  # if not, it is told again soon
    scene.api.port = down
    scene.passes("ready", by=installer)
    assert [*heard, installer.reporter.is_heard] == [False, True]
    assert scene.labels[READY] == "true"
    assert scene.reasons == ["PolicyApplied", "Installed"]


@pytest.mark.parametrize(("status", "is_heard"), [(409, False), (503, False), (403, True)])
def test_a_refusal_for_now_is_told_again_soon(scene: Scene, status: int, *, is_heard: bool) -> None:
    scene.host.on_register = lambda: setattr(scene.api, "refuses", status)
    installer = scene.installer()
    installer.run()
    assert installer.reporter.is_heard == is_heard


def test_without_the_api_server_a_new_pod_does_nothing(scene: Scene) -> None:
    scene.api.refuses = 503
    with pytest.raises(api_server.Unreachable):
        scene.installer().run()
    assert scene.host.done == []


def test_an_unwritable_state_for_the_pods_other_container_keeps_nothing_back(scene: Scene) -> None:
    state = scene.place / "pod" / "state"
    state.mkdir(parents=True)  # in its place
    scene.installer().run()
    scene.passes("ready")
    assert READY in scene.labels
    assert any("pod/state" in line for line in scene.told)
    state.rmdir()
    scene.passes("ready")
    assert state.read_text() == "ready"


OTHER = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
OURS = {"key": "runc-wrap.dev/installing", "effect": "NoSchedule"}
SOFT = {"key": "runc-wrap.dev/not-ready", "effect": "PreferNoSchedule"}
DOCUMENT: dict[str, Any] = {
    "metadata": {"name": "n1", "uid": "u1", "resourceVersion": "7", "labels": {"zone": "a"}},
    "spec": {"taints": [OTHER]},
    "status": {
        "nodeInfo": {"containerRuntimeVersion": "containerd://1.7.24"},
        "runtimeHandlers": [{"name": ""}, {"name": "runc"}, {"name": "runc-wrap"}],
    },
}


NO_NAME = {"runtimeHandlers": [{}, None, {"name": ""}], "nodeInfo": "x"}
LACKING: list[dict[str, Any]] = [
    {},
    {"metadata": None, "status": [], "spec": 3},
    {"metadata": {"labels": [1]}, "spec": {"taints": [None, "x"]}, "status": NO_NAME},
]


@pytest.mark.parametrize("document", LACKING)
def test_a_node_that_lacks_everything_is_read_too(document: dict[str, Any]) -> None:
    node = node_object.read(document)
    assert node.handlers is None
    assert (node.labels, node.taints, node.engine) == ({}, (), "")


def _change(document: dict[str, Any], word: str, is_ready: bool | None, taints: bool) -> Any:
    node = node_object.read(document)
    return node_object.change(node, Wanted(word, "0.2.0", is_ready, taints=taints))


IS_READY = {"zone": "a", "runc-wrap.dev/ready": "true", "runc-wrap.dev/version": "0.2.0"}
CASES = [
    (True, False, [OTHER], IS_READY, [OTHER]),
    (False, False, [OTHER], {"zone": "a"}, [OTHER]),
    (False, True, [OTHER], {"zone": "a"}, [OTHER, OURS]),
    (True, True, [OTHER, OURS], IS_READY, [OTHER]),
    (True, False, [OURS], IS_READY, []),
    (None, True, [OTHER], {"zone": "a"}, [OTHER]),
    (None, True, [OTHER, OURS], {"zone": "a"}, [OTHER, OURS]),
]


@pytest.mark.parametrize(("is_ready", "taints", "before", "labels", "after"), CASES)
def test_labels_and_taints_follow_the_state(
    is_ready: bool | None, taints: bool, before: list[Any], labels: dict[str, str], after: list[Any]
) -> None:
    document = merged(DOCUMENT, {"spec": {"taints": before}})
    changed = merged(document, _change(document, "ready abc", is_ready, taints))
    assert changed["metadata"]["labels"] == labels
    assert changed["metadata"]["annotations"] == {"runc-wrap.dev/state": "ready abc"}
    assert changed["spec"]["taints"] == after
    assert _change(changed, "ready abc", is_ready, taints) is None


SELECTED = [
    # label before, ready before, is_installed, is_ready -> label, taint
    (False, False, None, False, False, False),
    (False, False, None, True, False, False),
    (False, False, True, True, True, False),
    (True, True, None, False, True, True),
    (True, True, True, False, True, True),
    (True, True, None, None, True, False),
    (True, False, None, None, True, True),
    (False, False, True, None, True, True),  # a new Node object
    (True, True, False, False, False, False),
]


@pytest.mark.parametrize("case", SELECTED)
def test_a_node_that_the_class_selects_and_that_is_not_ready_is_taken_last(
    case: tuple[bool, bool, bool | None, bool | None, bool, bool],
) -> None:
    selected, ready, is_installed, is_ready, label, taint = case
    labels = {INSTALLED: "true"} if selected else {}
    labels |= {"runc-wrap.dev/ready": "true"} if ready else {}
    document = merged(DOCUMENT, {"metadata": {"labels": labels}})
    wanted = Wanted("x", "0.2.0", is_ready, is_installed)
    change = node_object.change(node_object.read(document), wanted)
    assert change is not None
    changed = merged(document, change)
    assert (INSTALLED in changed["metadata"]["labels"]) == label
    assert (SOFT in changed["spec"]["taints"]) == taint
    assert OTHER in changed["spec"]["taints"]
    assert node_object.change(node_object.read(changed), wanted) is None


def test_taints_are_changed_only_if_nobody_changed_the_node_meanwhile() -> None:
    assert _change(DOCUMENT, "x", False, True)["metadata"]["resourceVersion"] == "7"
    assert "resourceVersion" not in _change(DOCUMENT, "x", False, False)["metadata"]


NOTES = ["", "short", "a" * 5000, "\x1b[31mred\n<script>", "ü" * 1024]


@pytest.mark.parametrize("note", NOTES)
@pytest.mark.parametrize("reason", ["Installed", "Ready", "Reverted", "Removed"])
def test_an_event_is_what_the_api_takes(reason: str, note: str) -> None:
    node = node_object.read(DOCUMENT)
    event = node_object.event(node, "pod-1", reason, note, "2026-11-26T17:00:00.000001Z")
    kubernetes_validate.validate(event, "1.34", strict=True)
    assert event["type"] == ("Warning" if reason == "Reverted" else "Normal")
    assert event["metadata"]["namespace"] == "default"
    assert len(event["note"].encode()) <= 1024  # bytes: core/validation/events.go
    assert event["note"].isprintable()
    assert all(len(event[name]) <= 128 for name in ("reason", "reportingController"))
