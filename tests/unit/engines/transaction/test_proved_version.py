"""With which version of the engine a canary proved a handler, and which one runs now."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from runc_wrap.engines.docker.docker_engine import Docker
from runc_wrap.engines.transaction import canary_proof, last_transaction, registration_drift
from runc_wrap.engines.transaction.canary_proof import NotProved
from tests.unit.engines.transaction.killed_node import (
    UNIT,
    FakeEngine,
    job,
    node,
    proved,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.engines.registration.registration_state import Where
    from runc_wrap.engines.transaction.unit_control import Systemd
    from runc_wrap.node.paths import Places
    from tests.unit.engines.transaction.killed_node import FakeNode

Made = tuple["FakeNode", "Places", "Where"]
Seen = Callable[[], tuple[list[str], list[str]]]
OLD, NEW = "1.7.24", "2.1.4"
WAITS = f"containerd {NEW} is installed, and {OLD} runs: restart {UNIT} if it was upgraded"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A node with a handler that was proved with OLD, on whose disk NEW is."""
    proved(monkeypatch)
    one, places = node(tmp_path, "version = 2\n")
    added = job(places, one.config)
    run(added, one)
    monkeypatch.setattr(one, "access", lambda *_words: FakeEngine(one, version=NEW))
    monkeypatch.setattr(one, "started", lambda _unit: None, raising=False)
    return one, places, added.where


def _shown(made: Made) -> dict[str, Any]:
    one, places, _ = made
    (shown,) = registration_drift.survey(places, cast("Systemd", one))
    return shown.as_json()


@pytest.fixture
def seen(made: Made) -> Seen:
    """Return which handlers `engine status` calls proved with another version, and its words."""

    def look() -> tuple[list[str], list[str]]:
        found = _shown(made)
        names = [each["handler"] for each in found["handlers"] if each["upgraded"]]
        assert found["upgraded"] is bool(names)
        return names, [*found["drift"], *found["remarks"]]

    return look


def _prove(made: Made) -> str:
    one, places, where = made
    return canary_proof.alone(places, where, "runc-wrap", one)


def test_an_upgraded_engine_is_another_one_until_a_canary_proves_it(
    made: Made, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _, where = made
    one.version = NEW
    told = f"containerd was {OLD} when runc-wrap was proved, and is {NEW}; run `engine prove "
    drift = f"{told}containerd --config {where.config}`"
    assert seen() == (["runc-wrap"], [drift])
    proved(monkeypatch, NotProved("it is unconfined"))
    with pytest.raises(NotProved):
        _prove(made)
    assert seen() == (["runc-wrap"], [drift])
    proved(monkeypatch)
    _prove(made)
    assert seen() == ([], [])


def test_a_program_that_waits_for_a_restart_is_not_the_one_that_is_proved(
    made: Made, seen: Seen
) -> None:
    one, _, _ = made
    for _ in range(2):
        assert seen() == ([], [WAITS])
        assert _shown(made)["version"] == OLD
        _prove(made)
    one.version = NEW
    assert seen()[0] == ["runc-wrap"]


def test_an_engine_that_is_replaced_while_its_canary_runs_is_not_proved(
    made: Made, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _, _ = made
    started = FakeEngine.canary

    @contextmanager
    def canary(engine: FakeEngine, handler: str, var: Path) -> Iterator[str]:
        with started(engine, handler, var) as container:
            yield container
        one.version = NEW

    monkeypatch.setattr(FakeEngine, "canary", canary)
    _prove(made)
    assert seen()[0] == ["runc-wrap"]


def test_an_engine_that_does_not_tell_its_version_leaves_the_one_that_was_proved(
    made: Made, seen: Seen
) -> None:
    one, _, _ = made
    one.version = None
    _prove(made)
    assert seen() == ([], [])
    assert _shown(made)["version"] == NEW
    one.version = NEW
    assert seen()[0] == ["runc-wrap"]


def test_a_canary_proves_its_own_handler_only(made: Made, seen: Seen) -> None:
    one, places, _ = made
    run(job(places, one.config, handler="other"), one)
    one.version = NEW
    assert seen()[0] == ["runc-wrap", "other"]
    _prove(made)
    names, (drift,) = seen()
    assert names == ["other"]
    assert drift.endswith(" --handler other`")


def test_a_change_of_another_handler_proves_that_one_only(made: Made, seen: Seen) -> None:
    one, places, _ = made
    one.version = NEW
    run(job(places, one.config, handler="other"), one)
    assert seen()[0] == ["runc-wrap"]
    run(job(places, one.config, "remove", handler="other"), one)
    assert seen()[0] == ["runc-wrap"]
    run(job(places, one.config), one)
    assert seen()[0] == []


@pytest.mark.parametrize("spoiled", ["", "[]", "{}", '{"begun": "x"}'])
def test_a_record_that_cannot_be_read_is_none(made: Made, seen: Seen, spoiled: str) -> None:
    one, places, where = made
    (path,) = (places.var / "proofs").iterdir()
    path.write_text(spoiled)
    assert last_transaction.read(where) is None
    one.version = NEW
    assert seen() == ([], [])
    run(job(places, one.config), one)
    assert last_transaction.read(where) is not None


def test_dockers_client_is_not_taken_for_its_daemon(
    made: Made, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, places, _ = made
    assert seen() == ([], [WAITS])
    (file,) = places.engines.iterdir()
    file.write_text(file.read_text().replace('"containerd"', '"docker"'))
    monkeypatch.setattr(FakeEngine, "running", lambda _: {"runc-wrap": None})
    monkeypatch.setattr(FakeEngine, "checks_files", Docker.checks_files)
    assert WAITS.replace("containerd", "docker") not in seen()[1]
