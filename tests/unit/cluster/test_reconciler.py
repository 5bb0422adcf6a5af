"""The installer on a node whose host and API server are stand-ins: what it does, in which order."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.cluster import node_record
from runc_wrap.cluster.cluster_policy import policy_files
from runc_wrap.cluster.host_commands.systemd_manager import (
    DONE,
    SystemdError,
    UnitEnd,
)
from tests.unit.cluster.host_stand_in import Host, Killed
from tests.unit.cluster.installer_scene import INSTALLED, READY, node_document

if TYPE_CHECKING:
    from tests.unit.cluster.installer_scene import Scene


def test_a_new_node_becomes_ready_with_its_policy_before_its_handler(scene: Scene) -> None:
    installer = scene.installer()
    assert installer.run().word == "waiting"  # the kubelet has not been asked since
    assert READY not in scene.labels
    assert installer.run().word == "ready"
    assert scene.host.done == [
        "preflight", "lay", "install", "apply", "status", "register", "status", "status",
    ]  # fmt: skip
    assert scene.labels == {INSTALLED: "true", READY: "true", "runc-wrap.dev/version": "0.2.0"}
    word, digest = scene.state.split()
    assert word == "ready"
    assert policy_files.record(scene.host.places).digest.startswith(digest)
    assert scene.reasons == ["PolicyApplied", "Installed"]
    assert node_record.state(scene.host.places)["state"] == "ready"


def test_where_nothing_is_to_be_done_nothing_is_done(scene: Scene) -> None:
    scene.become_ready()
    scene.host.done.clear()
    scene.api.requests.clear()
    assert scene.installer().run().word == "ready"
    assert scene.host.done == ["status"]
    assert [method for method, _ in scene.api.requests] == ["GET"]


CALLS = 40  # of the host's systemd, until a new node is ready


@pytest.mark.parametrize("dies_at", range(1, CALLS + 1))
def test_killed_at_any_call_the_next_pod_goes_on(scene: Scene, dies_at: int) -> None:
    scene.host.dies_at = dies_at
    with contextlib.suppress(Killed):
        scene.become_ready()
    assert scene.host.calls == dies_at
    scene.host.dies_at = 0
    for _ in range(2):
        decision = scene.installer().run()
    assert decision.word == "ready"
    assert scene.labels[READY] == "true"
    assert scene.host.done.count("register") == 1
    assert not scene.host.units


def test_the_kills_reach_to_the_end(scene: Scene) -> None:
    scene.become_ready()
    assert scene.host.calls == CALLS


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
    for _ in range(3):
        decision = scene.installer().run()
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
    assert node_record.attempts(scene.host.places) == ()


@pytest.mark.parametrize("text", ["", "{", "[]", '[{"step": 1}]', "[" * 5000, '{"archive": 3}'])
def test_damaged_records_are_as_none(scene: Scene, text: str) -> None:
    scene.host.places.cluster.mkdir(parents=True)
    for name in (
        "installed.json",
        "attempts.json",
        "state.json",
        "policy.json",
        "proved.json",
        "applied.json",
    ):
        (scene.host.places.cluster / name).write_text(text)
    scene.installer().run()
    assert scene.installer().run().word == "ready"


def test_what_an_interrupted_request_left_goes_though_nobody_asks_again(scene: Scene) -> None:
    """`kubectl runc-wrap report` that was ended by Ctrl-C, say."""
    scene.become_ready()
    old = scene.host.places.cluster / "report-0a.out"
    old.touch()
    os.utime(old, (time.time() - 3600,) * 2)
    scene.host.units["runc-wrap-cluster-report-0a-12345678.service"] = UnitEnd(DONE)
    scene.host.units["runc-wrap-cluster-report-0b-12345678.service"] = UnitEnd(DONE)
    scene.installer().run()
    assert not old.exists()
    assert [*scene.host.units] == ["runc-wrap-cluster-report-0b-12345678.service"]


def test_a_request_that_systemd_does_not_forget_blocks_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.host.places.cluster.mkdir(parents=True)
    units = {}
    for request in ("check-0a", "report-0b"):
        old = scene.host.places.cluster / f"{request}.out"
        old.touch()
        os.utime(old, (time.time() - 3600,) * 2)
        units[request] = f"runc-wrap-cluster-{request}-12345678.service"
        scene.host.units[units[request]] = UnitEnd(DONE)
    forget = scene.host.forget

    def refuses(unit: str) -> None:
        if unit == units["check-0a"]:
            raise SystemdError(f"the host's systemd does not forget {unit}")
        forget(unit)

    monkeypatch.setattr(scene.host, "forget", refuses)
    scene.installer().run()
    assert scene.installer().run().word == "ready"
    assert [*scene.host.units] == [units["check-0a"]]
    assert [one.name for one in scene.host.places.cluster.glob("*-0?.out")] == ["check-0a.out"]
    assert scene.remover().run().word == "removed"
