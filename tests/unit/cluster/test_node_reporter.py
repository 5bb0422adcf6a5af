"""What the installer tells of a node: Events, its taint, the pod's log and other container."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.cluster import node_record
from runc_wrap.cluster.kubernetes_api import api_server
from runc_wrap.cluster.node_reporter import Reporter
from tests.unit.cluster.host_stand_in import Killed
from tests.unit.cluster.installer_scene import LISTED, READY

if TYPE_CHECKING:
    from tests.unit.cluster.installer_scene import Scene


def test_a_roll_out_that_changes_the_policy_only_tells_no_installation(scene: Scene) -> None:
    scene.become_ready()
    for mode in ("enforce", "audit"):
        scene.write_policy(f'[default]\nmode = "{mode}"\n')
        assert scene.installer().run().word == "ready"
    assert scene.reasons == ["PolicyApplied", "Installed", "PolicyApplied", "PolicyApplied"]
    scene.make_image("2")
    for _ in range(2):
        assert scene.installer().run().word == "ready"
    assert scene.reasons[4:] == ["Installed"]


def test_what_was_proved_before_a_pod_was_killed_is_told_by_the_next(scene: Scene) -> None:
    def dies() -> None:
        raise Killed

    scene.become_ready()
    scene.host.handlers = []
    scene.host.on_register = dies
    with contextlib.suppress(Killed):
        scene.installer().run()
    assert scene.installer().run().word == "ready"
    assert scene.host.done.count("register") == 2
    assert scene.reasons == ["PolicyApplied", "Installed", "Installed"]


def test_a_node_that_is_ready_again_without_a_canary_tells_no_installation(scene: Scene) -> None:
    scene.become_ready()
    scene.host.drift = ["config.toml was changed; restart it"]
    scene.installer().run()
    scene.host.drift = []
    for _ in range(2):
        assert scene.installer().run().word == "ready"
    assert scene.reasons[2:] == ["Drifted", "Ready"]
    event = scene.api.events[-1]
    assert event["note"] == "runc-wrap 0.2.0 is ready again: it was drifted"
    assert event["type"] == "Normal"


def test_a_canary_that_failed_is_not_told_as_one_that_ran(scene: Scene) -> None:
    scene.become_ready()
    scene.host.upgraded, scene.host.fails["prove"] = True, "no canary"
    assert scene.installer().run().word == "unproved"
    scene.host.upgraded = False  # the engine is the one before again
    assert scene.installer().run().word == "ready"
    assert scene.reasons[2:] == ["Unproved", "Ready"]


def test_a_kubelet_that_forgets_the_handler_for_a_while_tells_no_installation(scene: Scene) -> None:
    scene.become_ready()
    for handlers, word in ((LISTED, "waiting"), ([*LISTED, {"name": "runc-wrap"}], "ready")):
        scene.api.node["status"]["runtimeHandlers"] = handlers
        assert scene.installer().run().word == word
    assert scene.reasons == ["PolicyApplied", "Installed"]


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
    scene: Scene, findings: list[str], note: str
) -> None:
    scene.become_ready()
    scene.write_policy("[defualt]")
    said = "\n".join(findings)
    scene.host.fails["apply"] = f"a warning\nError: {said}\n"
    pod = scene.installer()
    assert pod.run().word == "policy-refused"
    told = scene.api.events[-1]["note"]
    assert told.startswith(note)
    assert len(told) < 450
    assert node_record.read(scene.host.places).reason.split("\n") == [
        one.strip() for one in findings
    ]
    assert pod.run().word == "policy-refused"
    assert scene.host.done.count("apply") == 2  # nor is it tried again, or told
    assert scene.reasons.count("PolicyRefused") == 1


def test_the_api_server_may_go_away_in_the_middle(scene: Scene) -> None:
    installer = scene.installer()
    down = scene.api.port

    def away() -> None:
        scene.kubelet_lists_it()
        scene.api.port = 1

    scene.host.on_register = away
    assert installer.run().word == "waiting"
    assert "register" in scene.host.done
    assert READY not in scene.labels
    assert any("does not answer" in each for each in scene.told)
    heard = [installer.reporter.is_heard]  # if not, it is told again soon
    scene.api.port = down
    assert installer.run().word == "ready"
    assert [*heard, installer.reporter.is_heard] == [False, True]
    assert scene.labels[READY] == "true"
    assert scene.reasons == ["PolicyApplied", "Installed"]


@pytest.mark.parametrize(("status", "is_heard"), [(409, False), (503, False), (403, True)])
def test_what_is_refused_only_for_now_is_told_again_soon(
    scene: Scene, status: int, *, is_heard: bool
) -> None:
    def refuses() -> None:
        scene.api.refuses = status

    scene.host.on_register = refuses
    installer = scene.installer()
    installer.run()
    assert installer.reporter.is_heard == is_heard


def test_without_the_api_server_a_new_pod_does_nothing(scene: Scene) -> None:
    scene.api.refuses = 503
    with pytest.raises(api_server.Unreachable):
        scene.installer().run()
    assert scene.host.done == []


def test_a_taint_keeps_pods_off_until_the_node_is_ready(scene: Scene) -> None:
    pod = replace(scene.pod, taints=True)
    installer = scene.installer(pod)
    installer.run()
    assert [one["key"] for one in scene.api.node["spec"]["taints"]] == ["runc-wrap.dev/installing"]
    installer.run()
    assert scene.api.node["spec"]["taints"] == []


def test_the_pods_other_container_reads_each_state_beside_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = scene.place / "pod" / "state"
    scene.installer().run()  # a pod without the other container has no place for it
    assert not state.parent.exists()
    state.parent.mkdir()
    words: list[str] = []
    told = Reporter.report

    def report(self: Reporter, *words_of: Any, **more: Any) -> None:
        told(self, *words_of, **more)
        words.append(state.read_text())

    monkeypatch.setattr(Reporter, "report", report)
    scene.installer().run()
    scene.remover().run()
    assert words == ["ready", "removing", "removed"]
    assert [path.name for path in state.parent.iterdir()] == ["state"]


def test_a_state_that_cannot_be_written_for_the_other_container_keeps_nothing_back(
    scene: Scene,
) -> None:
    (scene.place / "pod" / "state").mkdir(parents=True)  # in its place
    scene.installer().run()
    assert scene.installer().run().word == "ready"
    assert READY in scene.labels
    assert any("pod/state" in line for line in scene.told)
