"""Which pods still need the handler, by the names that Kubernetes knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runc_wrap.cluster import remaining_pods
from runc_wrap.engines import handler_removal
from runc_wrap.engines.dependent_container import Dependent, Unknown
from runc_wrap.node.paths import Places

if TYPE_CHECKING:
    from pathlib import Path

SANDBOX, WEB, CANARY = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(tmp_path)
    lines = [
        {"id": id_, "root": "/r", "time": "2026-11-28T00:00:00.0Z", "namespace": namespace,
         "pod": pod, "action": "inject"}
        for id_, namespace, pod in ((SANDBOX, "team", "web-1"), (WEB, "team", "web-1"),
                                    (CANARY, "runc-wrap", "canary-0a1b2c3d"))
    ]  # fmt: skip
    found.ledger.mkdir(parents=True)
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (found.ledger / "ledger.jsonl").write_text(text)
    found.wrapper.parent.mkdir(exist_ok=True)
    found.wrapper.touch()
    return found


def _reason(places: Places, monkeypatch: pytest.MonkeyPatch, *found: Dependent) -> str:
    monkeypatch.setattr(handler_removal, "calling", lambda *_: [*found])
    return remaining_pods.reason(places)


def test_a_pod_is_named_once_and_a_container_without_one_as_its_engine_shows_it(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _reason(places, monkeypatch) == ""
    found = [
        Dependent("containerd", f"k8s.io/{SANDBOX}"),
        Dependent("containerd", f"k8s.io/{WEB}", "running"),
        Dependent("docker", "by-hand", "running"),
    ]
    said = _reason(places, monkeypatch, *found)
    assert said.count("team/web-1") == 1
    assert "by-hand (docker, running)" in said


def test_a_canary_that_was_left_keeps_nothing_back(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _reason(places, monkeypatch, Dependent("containerd", f"k8s.io/{CANARY}")) == ""


def test_an_engine_that_does_not_say_may_have_some(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> list[Dependent]:
        raise Unknown("containerd runs, and `ctr` does not show its pods")

    monkeypatch.setattr(handler_removal, "calling", unknown)
    assert "`ctr` does not show" in remaining_pods.reason(places)


def test_a_long_list_is_cut_and_what_is_printed_is_safe() -> None:
    said = remaining_pods.sentence([f"team/web-{at}\x1b" for at in range(30)])
    assert said.endswith("and 20 more; recreate them without it")
    assert said.isprintable()
