"""Taking everything off a node whose host and API server are stand-ins."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from runc_wrap.cluster import node_record
from runc_wrap.cluster.cluster_policy import policy_directory
from runc_wrap.cluster.host_commands import transient_unit
from tests.unit.cluster.installer_scene import INSTALLED, NOT_READY, READY, STATE

if TYPE_CHECKING:
    from tests.unit.cluster.installer_scene import Scene

REMOVAL = ["remaining", "remaining", "status", "unregister", "status", "uninstall"]


def test_everything_is_taken_off_again(scene: Scene) -> None:
    scene.become_ready()
    scene.host.done.clear()
    remover = scene.remover()
    assert remover.run().word == "removed"
    assert scene.host.done == REMOVAL
    assert not scene.labels
    assert not scene.taints
    assert STATE not in scene.api.node["metadata"]["annotations"]
    assert scene.reasons[-1] == "Removed"
    assert remover.run().word == "removed"
    assert scene.reasons.count("Removed") == 1


@pytest.mark.parametrize("own", [False, True])
def test_settings_go_with_the_rest_unless_the_node_has_its_own(scene: Scene, *, own: bool) -> None:
    scene.installer().run()
    if own:
        scene.host.places.config_directory.mkdir(exist_ok=True)
        (scene.host.places.config_directory / "90-node.toml").touch()
    scene.remover().run()
    assert scene.host.purged is not own


def test_a_removal_that_is_refused_says_why_and_goes_on_later(scene: Scene) -> None:
    scene.become_ready()
    scene.host.fails["uninstall"] = "Error: 2 containers in mode observe run\n"
    decision = scene.remover().run()
    assert (decision.word, decision.why) == ("removing", "2 containers in mode observe run")
    assert READY not in scene.labels
    assert scene.reasons[-1] == "NotRemoved"
    for _ in range(3):
        assert scene.remover().run() == decision
    assert scene.reasons.count("NotRemoved") == 1
    del scene.host.fails["uninstall"]
    assert scene.remover().run().word == "removed"


def test_a_handler_that_cannot_be_removed_is_tried_more_and_more_rarely(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt may restart the engine twice: by the change, and by its being taken back."""
    scene.installer().run()
    scene.host.fails["unregister"] = "Error: containerd does not start a container\n"
    now = 0.0
    pod = scene.remover()
    for count in (1, 2, 3):
        monkeypatch.setattr("runc_wrap.cluster.reconciler.time.time", lambda at=now: at)
        for _ in range(3):
            decision = pod.run()
            assert decision.word == "removing"
            assert decision.why == "containerd does not start a container"
        assert scene.host.done.count("unregister") == count
        (last,) = node_record.read(scene.host.places).failed
        now = last.again
    del scene.host.fails["unregister"]
    monkeypatch.setattr("runc_wrap.cluster.reconciler.time.time", lambda: now)
    assert pod.run().word == "removed"


INSTALL = "runc-wrap-cluster-install-aaaaaaaa.service"


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transient_unit, "_PAUSE", 0.0)


@pytest.mark.usefixtures("_quick")
def test_nothing_is_said_to_be_removed_while_a_killed_pods_installation_runs(scene: Scene) -> None:
    states: list[str | None] = []

    def look() -> None:
        states.append(scene.api.node["metadata"].get("annotations", {}).get(STATE))

    scene.host.leave(INSTALL, look, scene.host.install, look)
    assert scene.remover().run().word == "removed"
    assert "removed" not in states
    assert scene.host.done == ["remaining", "status", "uninstall"]
    assert not (scene.host.places.prefix / "lib" / "current").is_symlink()


@pytest.mark.usefixtures("_quick")
def test_no_pod_comes_while_a_removal_waits_for_what_a_killed_pod_began(scene: Scene) -> None:
    scene.become_ready()
    scene.host.done.clear()
    seen: list[tuple[str, bool]] = []

    def look() -> None:
        seen.append((scene.state.split()[0], READY in scene.labels))

    scene.host.leave(INSTALL, look, look)
    assert scene.remover().run().word == "removed"
    assert seen == [("removing", False)] * 2
    assert scene.host.done == REMOVAL


@pytest.mark.usefixtures("_quick")
def test_a_removal_that_a_pod_before_began_is_said_when_it_is_over(scene: Scene) -> None:
    """It has removed the release, and is at the rest; what it removes is not written anew."""
    scene.become_ready()
    (scene.host.places.prefix / "lib" / "current").unlink()
    shutil.rmtree(scene.host.places.var)
    seen: list[bool] = []

    def look() -> None:
        seen.append("Removed" in scene.reasons)

    scene.host.leave("runc-wrap-cluster-uninstall-aaaaaaaa.service", look, look)
    assert scene.remover().run().word == "removed"
    assert seen == [False, False]
    assert not scene.host.places.var.exists()


PODS = ["team/web-1", "team/web-2"]


def _offered(scene: Scene) -> list[object]:
    """Return what each change of the node said of the label that the RuntimeClass selects."""
    changes = [one.get("metadata", {}).get("labels", {}) for one in scene.api.changes]
    return [one[INSTALLED] for one in changes if INSTALLED in one]


def test_while_a_pod_runs_a_removal_changes_nothing_but_what_people_look_at(scene: Scene) -> None:
    scene.become_ready()
    scene.host.running = PODS
    scene.host.done.clear()
    for _ in range(2):
        decision = scene.remover().run()
        assert decision.word == "removing"
        assert "team/web-1, team/web-2" in decision.why
        assert scene.labels == {INSTALLED: "true"}
        assert scene.taints == [NOT_READY]
    assert scene.host.done == ["remaining", "remaining"]
    assert _offered(scene) == ["true"]  # by the installer
    assert decision.why in scene.api.events[-1]["note"]
    scene.host.running = []
    assert scene.remover().run().word == "removed"
    assert _offered(scene) == ["true", None]
    assert not scene.labels
    assert not scene.taints


def test_a_pod_that_came_before_the_label_was_off_brings_it_back(scene: Scene) -> None:
    scene.become_ready()
    seen: list[bool] = []

    def comes() -> None:
        seen.append(INSTALLED in scene.labels)
        scene.host.running = PODS

    scene.host.looks = [lambda: None, comes]
    assert scene.remover().run().word == "removing"
    assert seen == [False]
    assert scene.labels == {INSTALLED: "true"}
    assert "unregister" not in scene.host.done


def test_a_removal_goes_on_only_when_the_api_server_has_heard_that_no_pod_may_come(
    scene: Scene,
) -> None:
    scene.become_ready()
    remover, port = scene.remover(), scene.api.port

    def away() -> None:
        scene.api.port = 1

    scene.host.looks = [away]
    decision = remover.run()
    assert (decision.word, scene.labels[INSTALLED]) == ("removing", "true")
    assert "API server" in decision.why
    assert "unregister" not in scene.host.done
    scene.api.port = port
    assert remover.run().word == "removed"


def test_the_policy_of_an_installation_that_failed_goes_too(scene: Scene) -> None:
    """A release that is installed by hand later would be compiled with it."""
    scene.host.fails["install"] = "no space left on device"
    scene.installer().run()
    assert policy_directory.in_force(scene.host.places)
    assert scene.remover().run().word == "removed"
    assert policy_directory.in_force(scene.host.places) is None
