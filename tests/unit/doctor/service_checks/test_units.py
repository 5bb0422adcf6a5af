"""The commands that start and restart the services: with units, without them, without systemd."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from runc_wrap.doctor.service_checks import units
from tests.unit.node import machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.cli.ctl import Node

KIND = socket.SOCK_SEQPACKET


@contextlib.contextmanager
def _listening(node: Node, name: str) -> Iterator[None]:
    node.places.agent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, KIND) as listening:
        listening.bind(str(node.places.agent / f"{name}.sock"))
        listening.listen()
        yield


def _systemd(node: Node, patch: pytest.MonkeyPatch, state: str) -> None:
    one = rf"Id=runc-wrap-%s.service\nLoadState={state}\n\n"
    machine.fake(node.programs, "systemctl", f"printf '{one}' decide observe")
    patch.setattr(units, "_BOOTED", node.programs)


@pytest.fixture
def by_hand(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The command that starts a service without systemd, up to its name."""
    monkeypatch.setattr(units, "_BOOTED", tmp_path / "absent")
    return f"setsid {node.places.prefix}/bin/runc-wrapctl agent"


def test_a_unit_is_enabled_and_restarted(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    _systemd(node, monkeypatch, "loaded")
    both = "runc-wrap-observe.socket runc-wrap-observe.service"
    assert units.start(node.places, "observe") == f"systemctl enable --now {both}"
    told = units.restart(node.places, "observe")
    assert told == "systemctl restart runc-wrap-observe.service"


@pytest.mark.parametrize("name", units.SERVICES)
def test_where_systemd_has_no_unit_the_installation_brings_it(
    node: Node, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _systemd(node, monkeypatch, "not-found")
    again = f"./install.sh --prefix {node.places.prefix}"
    assert units.start(node.places, name) == again
    assert units.restart(node.places, name) == again


def test_without_systemd_a_service_is_started_by_hand(node: Node, by_hand: str) -> None:
    assert units.start(node.places, "decide") == f"{by_hand} decide &"
    assert units.restart(node.places, "decide") == f"{by_hand} decide &"
    started = units.start(node.places, "observe")
    assert started == f"{by_hand} observe --without-descriptor-store &"


def test_without_systemd_a_running_service_is_ended_first(node: Node, by_hand: str) -> None:
    with _listening(node, "decide"):
        ended = f"kill -KILL {os.getpid()} && sleep 2 && {by_hand} decide &"
        assert units.restart(node.places, "decide") == ended
    with _listening(node, "evidence"):
        told = units.restart(node.places, "observe")
    assert told.startswith(f"kill -TERM {os.getpid()} && sleep 2 && {by_hand} observe ")


@pytest.mark.usefixtures("by_hand")
def test_an_observe_that_holds_listeners_is_not_ended(node: Node) -> None:
    with _listening(node, "evidence"):
        node.places.listeners.mkdir()
        (node.places.listeners / "seccomp-3.json").write_text("{}")
        told = units.restart(node.places, "observe")
    assert told == f"{node.places.prefix}/bin/runc-wrapctl status"
