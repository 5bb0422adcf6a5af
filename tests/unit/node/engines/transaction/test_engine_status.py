"""`engine status` does not say "in force" of a handler by whose name something else is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from runc_wrap.node.engines.cri import cri_runtime
from runc_wrap.node.engines.transaction import engine_status
from tests.unit.node.engines.transaction.killed_node import FakeEngine, job, node, proved, run

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.engines.transaction.unit_control import Systemd

TEXT = "version = 2\n"


def _told(**runtime: Any) -> dict[str, str | None]:
    return cri_runtime.paths_in({"runtimes": {"runc-wrap": runtime}})


@pytest.mark.parametrize(
    ("runtime", "path"),
    [
        ({"options": {"BinaryName": "/x"}}, "/x"),
        ({"options": {"SystemdCgroup": True}}, ""),
        ({"options": None}, ""),
        ({}, None),
    ],
)
def test_a_handler_without_a_path_is_the_engines_own_runtime(
    runtime: dict[str, Any], path: str | None
) -> None:
    assert _told(**runtime) == {"runc-wrap": path}


@pytest.mark.parametrize(
    ("path", "default", "drift"),
    [
        ("ours", "runc-wrap", ""),
        ("ours", None, ""),
        (None, "runc-wrap", ""),
        ("", "runc-wrap", "in force the handler runc-wrap is runc itself, not"),
        ("ours", "runc", "are started by runc, not by runc-wrap"),
    ],
)
def test_what_does_not_reach_us_is_not_called_in_force(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str | None,
    default: str | None,
    drift: str,
) -> None:
    proved(monkeypatch)
    one, places = node(tmp_path, TEXT)
    run(job(places, one.config, default=True), one)
    found = str(places.wrapper) if path == "ours" else path
    monkeypatch.setattr(FakeEngine, "running", lambda _: {"runc-wrap": found})
    monkeypatch.setattr(FakeEngine, "default", lambda _: default)
    monkeypatch.setattr(one, "started", lambda _unit: None, raising=False)
    (shown,) = (each.as_json() for each in engine_status.survey(places, cast("Systemd", one)))
    (handler,) = shown["handlers"]
    assert handler["in_force"] is (path != "")
    assert handler["default_in_force"] is (default and default == "runc-wrap")
    assert len(shown["drift"]) == bool(drift)
    assert drift in "".join(shown["drift"])
