"""The installer on a node whose host and API server are stand-ins: what it does, in which order."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.cluster import node_record
from runc_wrap.cluster.cluster_policy import policy_directory
from runc_wrap.cluster.host_commands.systemd_manager import SystemdError
from tests.unit.cluster.host_stand_in import OURS, Host, Killed
from tests.unit.cluster.installer_scene import INSTALLED, READY, node_document

if TYPE_CHECKING:
    from tests.unit.cluster.installer_scene import Scene


def test_a_new_node_becomes_ready_with_its_policy_before_its_handler(scene: Scene) -> None:
    installer = scene.installer()
    assert installer.run().word == "waiting"  # the kubelet has not been asked since
    assert READY not in scene.labels
    assert installer.run().word == "ready"
    assert scene.host.done == [
        "preflight", "install", "apply", "status", "register", "status", "status",
    ]  # fmt: skip
    assert scene.labels == {INSTALLED: "true", READY: "true", "runc-wrap.dev/version": "0.2.0"}
    word, digest = scene.state.split()
    assert word == "ready"
    assert str(policy_directory.in_force(scene.host.places)).startswith(digest)
    assert scene.reasons == ["PolicyApplied", "Installed"]
    assert node_record.read(scene.host.places).state == "ready"


def test_where_nothing_is_to_be_done_nothing_is_done(scene: Scene) -> None:
    scene.become_ready()
    scene.host.done.clear()
    scene.api.requests.clear()
    assert scene.installer().run().word == "ready"
    assert scene.host.done == ["status"]
    assert [method for method, _ in scene.api.requests] == ["GET"]


CALLS = {"coming": 35, "going": 30}  # of the host's systemd
KILLS = [(way, at) for way, calls in CALLS.items() for at in range(1, calls + 1)]


def _go(scene: Scene, way: str) -> str:
    """Come or go, with a new pod for each pass; return the state at the end."""
    for _ in range(2):
        word = (scene.remover() if way == "going" else scene.installer()).run().word
    return word


@pytest.mark.parametrize(("way", "dies_at"), KILLS)
def test_killed_at_any_call_the_next_pod_goes_on_to_the_same_end(
    scene: Scene, way: str, dies_at: int
) -> None:
    if way == "going":
        scene.become_ready()
    scene.host.calls, scene.host.dies_at = 0, dies_at
    with contextlib.suppress(Killed):
        _go(scene, way)
    assert scene.host.calls == dies_at
    scene.host.dies_at = 0
    end = "removed" if way == "going" else "ready"
    assert _go(scene, way) == end
    assert (READY in scene.labels) == (end == "ready")
    assert scene.host.done.count("register") == 1
    assert scene.host.done.count("unregister") == (end == "removed")
    assert not scene.host.units


@pytest.mark.parametrize("way", CALLS)
def test_the_kills_reach_to_the_end(scene: Scene, way: str) -> None:
    if way == "going":
        scene.become_ready()
    scene.host.calls = 0
    _go(scene, way)
    assert scene.host.calls == CALLS[way]


FAILURES = [
    ("preflight", "this kernel has no filters", "refused", "Refused"),
    ("install", "the prefix is read-only", "failed", "NotInstalled"),
    ("register", "a canary does not run", "reverted", "Reverted"),
]


@pytest.mark.parametrize(("step", "why", "word", "reason"), FAILURES)
def test_what_fails_is_said_once_and_not_tried_again_at_once(
    scene: Scene, step: str, why: str, word: str, reason: str
) -> None:
    scene.host.fails[step] = f"Error: {why}\n"
    pod = scene.installer()
    for _ in range(3):
        decision = pod.run()
    assert (decision.word, decision.why) == (word, why)
    assert scene.host.done.count(step) == 1
    assert READY not in scene.labels
    assert scene.state.split()[0] == word
    assert {reason} <= set(scene.reasons)
    assert any(event["note"] == why for event in scene.api.events)
    del scene.host.fails[step]
    scene.make_image("2")  # another release is another attempt
    scene.installer().run()
    assert scene.installer().run().word == "ready"


def test_a_node_that_is_refused_before_its_installation_has_nothing_laid_down(
    scene: Scene,
) -> None:
    scene.host.fails["preflight"] = "this node has containerd (/a) and containerd (/b)"
    decision = scene.installer().run()
    assert (decision.word, decision.why) == ("refused", scene.host.fails["preflight"])
    assert scene.host.done == ["preflight"]
    assert not [*scene.host.places.cluster.glob("archive-*")]
    assert not (scene.host.places.prefix / "lib").exists()


def test_a_node_of_another_engine_is_refused_with_a_sentence(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the host's systemd cannot be reached, which it needs not."""

    def silent(_: str) -> list[str]:
        raise SystemdError("it does not answer")

    monkeypatch.setattr(scene.host, "names", silent)
    scene.api.node = node_document("docker://26.1")
    decision = scene.installer().run()
    assert decision.word == "refused"
    assert "needs containerd or CRI-O" in decision.why
    assert scene.host.done == []
    assert scene.reasons == ["Refused"]


def test_an_archive_is_laid_down_whole_and_removed_after_it_was_installed(scene: Scene) -> None:
    (scene.place / "image" / "install.sh").write_text("#!/bin/sh\n")
    seen = []

    def look(unit: str, argv: list[str], *rest: Any, **more: Any) -> None:
        if "-install-" in unit:
            seen.append((scene.place / argv[1]).read_text())
        Host.start(scene.host, unit, argv, *rest, **more)

    scene.host.start = look  # type: ignore[method-assign,assignment]
    scene.installer().run()
    assert seen == ["#!/bin/sh\n"]
    assert not [*scene.host.places.cluster.glob("archive-*")]


def test_a_systemd_that_does_not_answer_is_trouble_and_no_failed_attempt(scene: Scene) -> None:
    def silent(*_: Any, **__: Any) -> None:
        raise SystemdError("it does not answer")

    scene.host.start = silent  # type: ignore[method-assign]
    with pytest.raises(SystemdError):
        scene.installer().run()
    assert node_record.read(scene.host.places).failed == ()


DAMAGED = ["", "{", "[]", '{"failed": [{"step": 1}]}', "[" * 5000, '{"tries": "x"}', "\xff"]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record_is_as_none(scene: Scene, text: str) -> None:
    scene.become_ready()
    (scene.host.places.cluster / "state.json").write_text(text)
    assert scene.installer().run().word == "ready"  # by what is on the node: all is done again
    assert scene.host.done.count("register") == 1  # but the engine is not restarted


def test_a_new_pod_tries_once_and_at_once_what_failed_before(scene: Scene) -> None:
    """Three times an hour: a pod that is evicted again and again must not restart the engine."""
    scene.host.fails["register"] = "Error: a canary does not run\n"
    for tries in (1, 2, 3, 4, 4, 4):
        pod = scene.installer()
        for _ in range(3):
            assert pod.run().word == "reverted"
        assert scene.host.done.count("register") == tries
    del scene.host.fails["register"]
    assert scene.installer().run().word == "reverted"


AGAIN = "runc-wrap.dev/register-again"


def _asks(scene: Scene) -> None:
    scene.api.node["metadata"].setdefault("annotations", {})[AGAIN] = ""


def test_a_person_has_the_handler_registered_again_that_somebody_took_out(scene: Scene) -> None:
    """As configuration management does, which renders the engine's file anew."""
    scene.become_ready()
    pod = scene.installer()
    for _ in range(2):
        scene.host.handlers = [OURS | {"configured": False, "in_force": False, "gone": True}]
        decision = pod.run()
        assert decision.word == "edited"
        assert f"`kubectl annotate node NODE {AGAIN}=`" in decision.why  # which says how
        scene.host.done.clear()
        _asks(scene)
        assert pod.run().word == "ready"
        assert scene.host.done == ["status", "register", "status"]
        assert AGAIN not in scene.api.node["metadata"]["annotations"]


def test_a_person_who_asks_restarts_the_engine_once_whatever_comes_of_it(scene: Scene) -> None:
    scene.become_ready()
    scene.host.handlers = [OURS | {"configured": False, "in_force": False, "gone": True}]
    scene.host.fails["register"] = "Error: a canary does not run\n"
    pod = scene.installer()
    for count in (1, 2):
        scene.host.done.clear()
        _asks(scene)
        assert pod.run().word == "reverted"
        for _ in range(3):
            assert pod.run().word == "edited"
        assert scene.host.done.count("register") == 1
        assert node_record.read(scene.host.places).failed[0].count == count


def test_a_request_that_cannot_be_taken_off_the_node_is_not_followed(scene: Scene) -> None:
    scene.become_ready()
    scene.host.handlers = [OURS | {"configured": False, "in_force": False, "gone": True}]
    _asks(scene)
    scene.api.refuses_change = True
    assert scene.installer().run().word == "edited"


def test_what_an_interrupted_request_left_goes_though_nobody_asks_again(scene: Scene) -> None:
    """`kubectl runc-wrap report` that was ended by Ctrl-C, say."""
    scene.become_ready()
    place = scene.host.places.cluster
    (place / "check-0b").mkdir()
    for old in (place / "report-0a.out", place / "check-0b"):
        old.touch()
        os.utime(old, (time.time() - 3600,) * 2)
    (place / "report-0c.out").touch()
    scene.installer().run()
    assert sorted(path.name for path in place.glob("*-0*")) == ["report-0c.out"]


def test_a_clock_that_is_set_back_neither_ends_the_pauses_nor_makes_them_longer(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by NTP after a boot with a wrong clock, while the pod is at work."""
    scene.host.fails["register"] = "Error: a canary does not run\n"
    now, clock = time.time(), "runc_wrap.cluster.reconciler.time.time"
    pod = scene.installer()
    # the second pod tries at once; a failure of the future counts no more; the last pod, at once
    for ahead, is_new, tries in ((1e8, 1, 1), (2e8, 1, 2), (0, 0, 3), (1, 0, 3), (2, 1, 4)):
        monkeypatch.setattr(clock, lambda at=now + ahead: at)
        pod = scene.installer() if is_new else pod
        for _ in range(2):
            assert pod.run().word == "reverted"
        assert scene.host.done.count("register") == tries


def test_what_a_person_asks_for_waits_for_an_engine_that_is_down(scene: Scene) -> None:
    scene.become_ready()
    scene.host.handlers = [OURS | {"configured": False, "in_force": False, "gone": True}]
    pod = scene.installer()
    assert pod.run().word == "edited"
    _asks(scene)
    for version, word in (("Unknown", "waiting"), ("1.7.24", "ready")):
        info = scene.api.node["status"]["nodeInfo"]
        info["containerRuntimeVersion"] = f"containerd://{version}"
        assert pod.run().word == word
    assert AGAIN not in scene.api.node["metadata"]["annotations"]
