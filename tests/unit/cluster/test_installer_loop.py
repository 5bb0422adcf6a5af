"""The installer on a node whose host and API server are stand-ins: what it does, in which order."""

import contextlib
import os
import time
from typing import Any

import pytest

from runc_wrap.cluster import policy_directory, state_file
from runc_wrap.cluster.host_commands.systemd_dbus import SystemdError
from runc_wrap.cluster.node_object import AGAIN
from tests.unit.cluster.conftest import INSTALLED, READY, Scene
from tests.unit.cluster.host_stand_in import Killed


def test_a_new_node_becomes_ready_with_its_policy_before_its_handler(scene: Scene) -> None:
    pod = scene.installer()
    scene.passes("waiting", "preflight install apply status register status", by=pod)
    assert READY not in scene.labels  # the kubelet has not been asked since
    scene.passes("ready", "status", by=pod)
    assert scene.labels == {INSTALLED: "true", READY: "true", "runc-wrap.dev/version": "0.2.0"}
    word, digest = scene.state.split()
    assert word == "ready"
    assert str(policy_directory.in_force(scene.host.places)).startswith(digest)
    assert scene.reasons == ["PolicyApplied", "Installed"]
    assert state_file.read(scene.host.places).state == "ready"
    assert not [*scene.host.places.cluster.glob("archive-*")]


def test_where_nothing_is_to_be_done_nothing_is_done(ready: Scene) -> None:
    ready.api.requests.clear()
    ready.passes("ready", "status")
    assert [method for method, _ in ready.api.requests] == ["GET"]


CALLS = {"coming": 35, "going": 30}  # of the host's systemd


KILLS = [(way, at) for way, calls in CALLS.items() for at in range(1, calls + 2)]


def _go(scene: Scene, way: str) -> str:
    """Come or go, with a new pod for each pass; return the state at the end."""
    for _ in range(2):
        word = (scene.remover() if way == "going" else scene.installer()).run().word
    return word


@pytest.mark.parametrize(("way", "dies_at"), KILLS)
def test_killed_anywhere_the_next_pod_ends_the_same(scene: Scene, way: str, dies_at: int) -> None:
    if way == "going":
        scene.become_ready()
    scene.host.calls, scene.host.dies_at = 0, dies_at
    with contextlib.suppress(Killed):
        _go(scene, way)
    assert scene.host.calls == min(dies_at, CALLS[way])  # the last one is beyond the end
    scene.host.dies_at = 0
    end = "removed" if way == "going" else "ready"
    assert _go(scene, way) == end
    assert (READY in scene.labels) == (end == "ready")
    assert scene.host.done.count("register") == 1
    assert scene.host.done.count("unregister") == (end == "removed")
    assert not scene.host.units


FAILURES = [
    ("preflight", "this node has containerd (/a) and containerd (/b)", "refused", "Refused"),
    ("install", "the prefix is read-only", "failed", "NotInstalled"),
    ("register", "a canary does not run", "reverted", "Reverted"),
]


@pytest.mark.parametrize(("step", "why", "word", "reason"), FAILURES)
def test_what_fails_is_said_once_and_not_tried_again_at_once(
    scene: Scene, step: str, why: str, word: str, reason: str
) -> None:
    scene.host.fails[step] = f"Error: {why}\n" if step != "preflight" else why
    decision = scene.passes(word, by=scene.installer(), times=3)
    assert decision.why == why
    assert scene.host.done.count(step) == 1
    assert READY not in scene.labels
    assert scene.state.split()[0] == word
    assert {reason} <= set(scene.reasons)
    assert any(event["note"] == why for event in scene.api.events)
    assert not [*scene.host.places.cluster.glob("archive-*")]
    assert (scene.host.places.prefix / "lib").exists() == (step == "register")
    del scene.host.fails[step]
    scene.make_image("2")  # another release is another attempt
    scene.installer().run()
    scene.passes("ready")


def test_a_systemd_that_does_not_answer_is_trouble_and_no_failed_attempt(scene: Scene) -> None:
    def silent(*_: Any, **__: Any) -> None:
        raise SystemdError("it does not answer")

    scene.patch.setattr(scene.host, "start", silent)
    with pytest.raises(SystemdError):
        scene.installer().run()
    assert state_file.read(scene.host.places).failed == ()


DAMAGED = ["", "{", "[]", '{"failed": [{"step": 1}]}', "[" * 5000, '{"tries": "x"}', "\xff"]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record_is_as_none(ready: Scene, text: str) -> None:
    (ready.host.places.cluster / "state.json").write_text(text)
    ready.passes("ready")  # by what is on the node: all is done again
    assert ready.host.done.count("register") == 1  # but the engine is not restarted


def test_a_new_pod_tries_once_and_at_once_what_failed_before(scene: Scene) -> None:
    """Three times an hour: a pod that is evicted again and again must not restart the engine."""
    scene.host.fails["register"] = "Error: a canary does not run\n"
    for tries in (1, 2, 3, 4, 4, 4):
        scene.passes("reverted", by=scene.installer(), times=3)
        assert scene.host.done.count("register") == tries
    del scene.host.fails["register"]
    scene.passes("reverted")


def _asks(scene: Scene) -> None:
    scene.api.node["metadata"].setdefault("annotations", {})[AGAIN] = ""


def test_a_person_who_asks_restarts_the_engine_once_whatever_comes_of_it(ready: Scene) -> None:
    """How it goes well: tests/boxes/test_cluster.py."""
    ready.take_out()
    ready.host.fails["register"] = "Error: a canary does not run\n"
    pod = ready.installer()
    for count in (1, 2):
        _asks(ready)
        ready.passes("reverted", "status register status", by=pod)
        ready.passes("edited", "status status status", by=pod, times=3)
        assert state_file.read(ready.host.places).failed[0].count == count
    _asks(ready)
    ready.api.refuses_change = True  # a request that stays on the node would not be once
    ready.passes("edited", "status", by=pod)


def test_what_an_interrupted_request_left_goes_though_nobody_asks_again(ready: Scene) -> None:
    """`kubectl runc-wrap report` that was ended by Ctrl-C, say."""
    place = ready.host.places.cluster
    (place / "check-0b").mkdir()
    for old in (place / "report-0a.out", place / "check-0b"):
        old.touch()
        os.utime(old, (time.time() - 3600,) * 2)
    (place / "report-0c.out").touch()
    ready.installer().run()
    assert sorted(path.name for path in place.glob("*-0*")) == ["report-0c.out"]


def test_a_handler_that_is_not_seen_after_its_canary_restarts_the_engine_once(scene: Scene) -> None:
    def forgets() -> None:
        scene.host.handlers = []

    scene.host.on_register = forgets
    scene.passes("reverted", by=scene.installer(), times=3)
    assert scene.host.done.count("register") == 1


def test_a_registration_that_a_boot_took_away_comes_back_once_in_each_boot(ready: Scene) -> None:
    """As on EKS, where /etc/containerd/config.toml is written anew at each boot."""
    for boot in ("second", "third"):
        ready.boot(boot)
        ready.take_out()
        ready.passes("ready", "status register status")
    ready.take_out()
    ready.passes("edited")
    assert READY not in ready.labels
