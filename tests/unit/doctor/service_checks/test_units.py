"""The commands that start and restart the services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.doctor.service_checks import units
from runc_wrap.host import systemd
from tests.unit.node import machine

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.unit.cli.ctl import Node


def _systemd(node: Node, patch: pytest.MonkeyPatch, state: str) -> None:
    one = rf"LoadState={state}\n\n"
    machine.fake(node.programs, "systemctl", f"printf '{one * 4}'")
    patch.setattr(systemd, "BOOTED", node.programs)


def test_a_unit_is_enabled_and_restarted(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    _systemd(node, monkeypatch, "loaded")
    both = "runc-wrap-observe.socket runc-wrap-observe.service"
    assert units.start("observe") == f"systemctl enable --now {both}"
    told = units.restart("observe")
    assert told == "systemctl restart runc-wrap-observe.service"


def test_without_a_unit_there_is_no_command(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _systemd(node, monkeypatch, "not-found")
    assert (units.start("decide"), units.restart("decide")) == ("", "")
    monkeypatch.setattr(systemd, "BOOTED", tmp_path / "absent")
    assert (units.start("decide"), units.restart("decide")) == ("", "")
