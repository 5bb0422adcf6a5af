"""The label that the RuntimeClass selects stays on a node as long as pods of the class run there.

A kubelet that starts rejects each running pod whose nodeSelector its node does not meet any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.cluster.host_stand_in import OURS
from tests.unit.cluster.installer_scene import INSTALLED, LISTED, NOT_READY, STATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cluster.installer_scene import Scene


def _edited(scene: Scene) -> None:
    scene.host.handlers = [OURS | {"configured": False, "in_force": False, "gone": True}]


def _reverted(scene: Scene) -> None:
    scene.host.handlers = []
    scene.host.fails["register"] = "a canary does not run"


def _unproved(scene: Scene) -> None:
    scene.host.upgraded = True
    scene.host.fails["prove"] = "a canary does not run"


def _refused(scene: Scene) -> None:
    scene.api.node["status"]["nodeInfo"]["containerRuntimeVersion"] = "docker://26.1"


def _waiting(scene: Scene) -> None:
    scene.api.node["status"]["runtimeHandlers"] = LISTED


def _failed(scene: Scene) -> None:
    _edited(scene)
    scene.make_image("2")
    scene.host.fails["install"] = "no room"


def _removing(scene: Scene) -> None:
    scene.host.running = ["team/web"]


STATES: dict[str, Callable[[Scene], None]] = {
    "edited": _edited,
    "reverted": _reverted,
    "unproved": _unproved,
    "refused": _refused,
    "waiting": _waiting,
    "failed": _failed,
    "removing": _removing,
}


def _run(scene: Scene, word: str) -> str:
    return (scene.remover() if word == "removing" else scene.installer()).run().word


@pytest.mark.parametrize("word", STATES)
@pytest.mark.parametrize("is_new", [False, True], ids=["", "new Node object"])
def test_in_no_state_is_a_node_with_pods_of_the_class_selected_no_more(
    scene: Scene, word: str, *, is_new: bool
) -> None:
    scene.become_ready()
    assert scene.labels[INSTALLED] == "true"
    STATES[word](scene)
    if is_new:
        for name in ("labels", "annotations"):
            scene.api.node["metadata"].pop(name, None)
    scene.api.changes.clear()
    for _ in range(2):
        found = _run(scene, word)
        assert found == ("edited" if word == "failed" else word)  # which is said first
        assert scene.labels == {INSTALLED: "true"}
        assert scene.taints == [NOT_READY]
    said = [
        one.get("metadata", {}).get("labels", {}).get(INSTALLED, "") for one in scene.api.changes
    ]
    assert None not in said


def test_a_new_node_object_is_selected_before_anything_else_is_done(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.become_ready()
    scene.api.node["metadata"].pop("labels")
    scene.api.requests.clear()
    seen: list[dict[str, str]] = []
    ask = scene.host.names

    def names(pattern: str) -> list[str]:
        seen.append({**scene.labels})
        return ask(pattern)

    monkeypatch.setattr(scene.host, "names", names)
    scene.host.upgraded = True  # so that there is something to be done
    assert scene.installer().run().word == "ready"
    assert seen
    assert seen[0][INSTALLED] == "true"


@pytest.mark.parametrize("step", ["unregister", "uninstall"])
def test_a_pod_that_came_after_the_second_look_has_its_node_selected_again(
    scene: Scene, step: str
) -> None:
    scene.become_ready()
    scene.host.fails[step] = "Error: runc-wrap is needed by 1 container: team/web"
    # the pod was on its way to the kubelet while the label went
    nothing: list[Callable[[], None]] = [lambda: None, lambda: None]
    scene.host.looks = [*nothing, lambda: scene.host.running.append("team/web")]
    assert scene.remover().run().word == "removing"
    assert scene.labels == {INSTALLED: "true"}


def test_a_node_that_was_never_ready_is_not_selected(scene: Scene) -> None:
    scene.host.fails["register"] = "a canary does not run"
    for _ in range(2):
        assert scene.installer().run().word == "reverted"
    assert not scene.labels
    assert not scene.taints
    assert scene.api.node["metadata"]["annotations"][STATE].startswith("reverted")
