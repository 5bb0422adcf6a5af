"""The installer and its handler in the engine: edited, not seen, taken away by a boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.cluster import node_record
from tests.unit.cluster.host_stand_in import OURS
from tests.unit.cluster.installer_scene import READY

if TYPE_CHECKING:
    import pytest

    from tests.unit.cluster.installer_scene import Scene


def test_the_handler_is_registered_and_taken_out_and_never_made_the_default(scene: Scene) -> None:
    """Pods that name no RuntimeClass are none of ours."""
    scene.become_ready()
    assert scene.remover().run().word == "removed"
    words = ["containerd", "--restart", "--json"]
    told = {step: scene.host.argv[step][3:] for step in ("register", "unregister")}
    assert told == {
        "register": ["engine", "add", *words],
        "unregister": ["engine", "remove", *words],
    }


def test_a_configuration_that_the_engine_has_not_read_is_told_and_the_node_stays_ready(
    scene: Scene,
) -> None:
    scene.become_ready()
    scene.host.done.clear()
    scene.host.drift = ["config.toml was changed; restart it"]
    for _ in range(2):
        assert scene.installer().run().word == "drifted"
    assert scene.host.done == ["status", "status"]
    assert (scene.state.split()[0], scene.labels[READY]) == ("drifted", "true")
    assert scene.reasons[-2:] == ["Installed", "Drifted"]
    assert scene.api.events[-1]["note"] == "config.toml was changed; restart it"
    assert scene.api.events[-1]["type"] == "Warning"
    scene.host.drift = []
    assert scene.installer().run().word == "ready"


def test_a_handler_that_is_not_seen_after_its_canary_restarts_the_engine_once(scene: Scene) -> None:
    def forgets() -> None:
        scene.host.handlers = []

    scene.host.on_register = forgets
    pod = scene.installer()
    for _ in range(3):
        assert pod.run().word == "reverted"
    assert scene.host.done.count("register") == 1


def _taken_away(scene: Scene) -> None:
    scene.host.handlers = [OURS | {"configured": False, "in_force": False, "gone": True}]


def test_a_registration_that_a_boot_took_away_comes_back_once_in_each_boot(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on EKS, where /etc/containerd/config.toml is written anew at each boot."""
    scene.become_ready()
    for boot in ("second", "third"):
        monkeypatch.setattr("runc_wrap.host.procfs.boot_id", lambda at=boot: at)
        _taken_away(scene)
        scene.host.done.clear()
        assert scene.installer().run().word == "ready"
        assert scene.host.done == ["status", "register", "status"]
    _taken_away(scene)
    assert scene.installer().run().word == "edited"
    assert READY not in scene.labels


def _engine_says(scene: Scene, version: str) -> None:
    scene.api.node["status"]["nodeInfo"]["containerRuntimeVersion"] = f"containerd://{version}"


def test_an_engine_that_is_down_for_a_while_is_not_another_version(scene: Scene) -> None:
    """The kubelet says `containerd://Unknown` then: nothing is compiled, proved or said anew."""
    scene.become_ready()
    told, reasons = scene.labels.copy(), scene.reasons
    scene.host.done.clear()
    for version, word in (("Unknown", "waiting"), ("1.7.24", "ready")) * 2:
        _engine_says(scene, version)
        assert scene.installer().run().word == word
        assert scene.labels == told
    assert scene.host.done == ["status", "status"]
    assert scene.reasons == reasons


def test_a_version_that_comes_and_goes_does_not_end_the_pause_after_a_failure(
    scene: Scene,
) -> None:
    """Each attempt restarts the engine, which is what makes its version come and go."""
    scene.host.fails["register"] = "a canary does not run"
    pod = scene.installer()
    for _ in range(3):
        for version, word in (("1.7.24", "reverted"), ("Unknown", "waiting")):
            _engine_says(scene, version)
            assert pod.run().word == word
    assert scene.host.done.count("register") == 1
    (last,) = node_record.read(scene.host.places).failed
    assert last.count == 1
