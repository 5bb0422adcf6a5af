"""Taking everything off a node; until then the RuntimeClass selects it as long as pods run there.

A kubelet that starts rejects each running pod whose nodeSelector its node does not meet any more.
"""

from typing import Any

import pytest

from runc_wrap.cluster import policy_directory, state_file
from tests.unit.cluster.conftest import INSTALLED, LISTED, NOT_READY, READY, STATE, Scene
from tests.unit.cluster.host_stand_in import OURS

REMOVAL = "remaining remaining status unregister status uninstall"


def test_everything_is_taken_off_again(ready: Scene) -> None:
    remover = ready.remover()
    ready.passes("removed", REMOVAL, by=remover)
    assert not ready.labels
    assert not ready.taints
    assert STATE not in ready.api.node["metadata"]["annotations"]
    assert ready.reasons[-1] == "Removed"
    ready.passes("removed", by=remover)
    assert ready.reasons.count("Removed") == 1
    words = [ready.host.argv[step][3:] for step in ("register", "unregister")]
    never_default = ["containerd", "--restart", "--json"]
    assert words == [["engine", verb, *never_default] for verb in ("add", "remove")]


@pytest.mark.parametrize("own", [False, True])
def test_settings_go_with_the_rest_unless_the_node_has_its_own(scene: Scene, *, own: bool) -> None:
    scene.installer().run()
    if own:
        scene.host.places.config_directory.mkdir(exist_ok=True)
        (scene.host.places.config_directory / "90-node.toml").touch()
    scene.remover().run()
    assert scene.host.purged is not own


def test_a_removal_that_is_refused_says_why_and_goes_on_later(ready: Scene) -> None:
    ready.host.fails["uninstall"] = "Error: 2 containers in mode observe run\n"
    for _ in range(4):
        decision = ready.passes("removing", by=ready.remover())
        assert decision.why == "2 containers in mode observe run"
        assert READY not in ready.labels
        assert ready.reasons[-1] == "NotRemoved"
    assert ready.reasons.count("NotRemoved") == 1
    del ready.host.fails["uninstall"]
    ready.passes("removed", by=ready.remover())


def test_a_handler_that_cannot_be_removed_is_tried_more_and_more_rarely(scene: Scene) -> None:
    """Each attempt may restart the engine twice: by the change, and by its being taken back."""
    scene.installer().run()
    scene.host.fails["unregister"] = "Error: containerd does not start a container\n"
    now, pod = 0.0, scene.remover()
    for count in (1, 2, 3):
        scene.clock(now)
        why = scene.passes("removing", by=pod, times=3).why
        assert why == "containerd does not start a container"
        assert scene.host.done.count("unregister") == count
        (last,) = state_file.read(scene.host.places).failed
        now = last.again
    del scene.host.fails["unregister"]
    scene.clock(now)
    scene.passes("removed", by=pod)


INSTALL = "runc-wrap-cluster-install-aaaaaaaa.service"


def test_no_pod_comes_while_a_removal_waits_for_what_a_killed_pod_began(ready: Scene) -> None:
    seen: list[tuple[str, bool]] = []

    def look() -> None:
        seen.append((ready.state.split()[0], READY in ready.labels))

    ready.host.leave(INSTALL, look, ready.host.install, look)
    ready.passes("removed", REMOVAL, by=ready.remover())
    assert seen == [("removing", False)] * 2
    assert not (ready.host.places.prefix / "lib" / "current").is_symlink()


PODS = ["team/web-1", "team/web-2"]


def _offered(scene: Scene) -> list[object]:
    """Return what each change of the node said of the label that the RuntimeClass selects."""
    changes = [one.get("metadata", {}).get("labels", {}) for one in scene.api.changes]
    return [one[INSTALLED] for one in changes if INSTALLED in one]


def test_while_a_pod_runs_a_removal_changes_nothing_but_what_people_look_at(ready: Scene) -> None:
    ready.host.running = PODS
    for _ in range(2):
        decision = ready.passes("removing", "remaining", by=ready.remover())
        assert "team/web-1, team/web-2" in decision.why
        assert ready.labels == {INSTALLED: "true"}
        assert ready.taints == [NOT_READY]
    assert _offered(ready) == ["true"]  # by the installer
    assert decision.why in ready.api.events[-1]["note"]
    ready.host.running = []
    ready.passes("removed", by=ready.remover())
    assert _offered(ready) == ["true", None]
    assert not ready.labels
    assert not ready.taints


def test_a_removal_goes_on_only_when_the_api_server_knows_that_no_pod_comes(ready: Scene) -> None:
    remover, port = ready.remover(), ready.api.port

    def away() -> None:
        ready.api.port = 1

    ready.host.looks = [away]
    why = ready.passes("removing", "remaining", by=remover).why
    assert ready.labels[INSTALLED] == "true"
    assert "API server" in why
    ready.api.port = port
    ready.passes("removed", by=remover)


def test_the_policy_of_an_installation_that_failed_goes_too(scene: Scene) -> None:
    """A release that is installed by hand later would be compiled with it."""
    scene.host.fails["install"] = "no space left on device"
    scene.installer().run()
    assert policy_directory.in_force(scene.host.places)
    scene.passes("removed", by=scene.remover())
    assert policy_directory.in_force(scene.host.places) is None


FAILS = "a canary does not run"
GONE = OURS | {"configured": False, "in_force": False, "gone": True}
# what the host has or does, and what the API server shows of the node's status
STATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "edited": ({"handlers": [GONE]}, {}),
    "reverted": ({"handlers": [], "fails": {"register": FAILS}}, {}),
    "unproved": ({"upgraded": True, "fails": {"prove": FAILS}}, {}),
    "refused": ({}, {"nodeInfo": {"containerRuntimeVersion": "docker://26.1"}}),
    "waiting": ({}, {"runtimeHandlers": LISTED}),
    "failed": ({"handlers": [GONE], "fails": {"install": "no room"}}, {}),
    "removing": ({"running": ["team/web"]}, {}),
}


@pytest.mark.parametrize("word", STATES)
@pytest.mark.parametrize("is_new", [False, True], ids=["", "new Node object"])
def test_in_no_state_is_a_node_with_pods_of_the_class_selected_no_more(
    ready: Scene, word: str, *, is_new: bool
) -> None:
    assert ready.labels[INSTALLED] == "true"
    of_host, of_status = STATES[word]
    for name, value in of_host.items():
        setattr(ready.host, name, value)
    ready.api.node["status"] |= of_status
    if word == "failed":
        ready.make_image("2")
    if is_new:
        for name in ("labels", "annotations"):
            ready.api.node["metadata"].pop(name, None)
    ready.api.changes.clear()
    for _ in range(2):
        pod = ready.remover() if word == "removing" else ready.installer()
        ready.passes("edited" if word == "failed" else word, by=pod)  # which is said first
        assert ready.labels == {INSTALLED: "true"}
        assert ready.taints == [NOT_READY]
    said = [one.get("metadata", {}).get("labels", {}) for one in ready.api.changes]
    assert None not in [one.get(INSTALLED, "") for one in said]


def test_a_new_node_object_is_selected_before_anything_else_is_done(ready: Scene) -> None:
    ready.api.node["metadata"].pop("labels")
    seen: list[dict[str, str]] = []
    ask = ready.host.names

    def names(pattern: str) -> list[str]:
        seen.append({**ready.labels})
        return ask(pattern)

    ready.patch.setattr(ready.host, "names", names)
    ready.host.upgraded = True  # so that there is something to be done
    ready.passes("ready")
    assert seen[0][INSTALLED] == "true"


@pytest.mark.parametrize(("looks", "step"), [(1, None), (2, "unregister"), (2, "uninstall")])
def test_a_pod_that_came_before_the_label_was_off_or_was_on_its_way_then_brings_it_back(
    ready: Scene, looks: int, step: str | None
) -> None:
    seen: list[bool] = []

    def comes() -> None:
        seen.append(INSTALLED in ready.labels)
        ready.host.running.append("team/web")

    ready.host.looks = [*[lambda: None] * looks, comes]
    ready.host.fails = {step: "Error: runc-wrap is needed by 1 container"} if step else {}
    ready.passes("removing", None if step else "remaining remaining", by=ready.remover())
    assert seen == [False]
    assert ready.labels == {INSTALLED: "true"}
