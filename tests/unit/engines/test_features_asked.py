"""Engines that asked for the features of a runtime that has been changed since."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from runc_wrap.doctor.engine_checks import features_known
from runc_wrap.engines import engine_registry, features_asked
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.node.paths import Places
from tests.unit.engines.engine_node import add, node, write
from tests.unit.node import machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Containerd]:
    """A registered containerd that answers: this process."""
    where = node(tmp_path, "containerd")
    where = replace(where, state_dir=Places(tmp_path).engines)
    add(where)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    listening.listen()
    found = Containerd(where.config, None, "k3s.service", tmp_path / "s")
    monkeypatch.setattr(engine_registry, "at", lambda *_: found)
    with listening:
        yield found


def _runtime(tmp_path: Path) -> Path:
    real = write(tmp_path / "real/runc", "")
    link = Places(tmp_path).runtime / "runc"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    return link


def test_an_engine_that_is_older_than_the_runtime_is_named(
    tmp_path: Path, engine: Containerd
) -> None:
    _runtime(tmp_path)  # this process is older
    (remark,) = features_asked.remarks(Places(tmp_path))
    said = f"containerd ({engine.config}) asked for the runtime's features when it started"
    assert remark.startswith(f"warning: {said}")
    assert remark.endswith("restart it: systemctl restart k3s")
    (finding,) = features_known.find(Places(tmp_path))
    assert finding.sentence.startswith(said)
    assert finding.command == "systemctl restart k3s"


def test_an_engine_that_started_later_is_not(
    tmp_path: Path, engine: Containerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.socket
    _runtime(tmp_path)
    later = time.time() + 3600
    monkeypatch.setattr(features_asked, "started", lambda _: later)
    assert features_asked.stale(Places(tmp_path)) == []


def test_an_upgrade_of_the_program_counts_and_an_older_link_does_not_hide_it(
    tmp_path: Path,
) -> None:
    link = _runtime(tmp_path)
    os.utime(link, (1, 1), follow_symlinks=False)
    os.utime(link, (1, 1))  # as a package's files have the time of their build
    assert features_asked.runtime_changed(Places(tmp_path)) > time.time() - 3600
    link.readlink().unlink()
    assert features_asked.runtime_changed(Places(tmp_path)) == 0.0


def test_an_engine_that_does_not_run_or_has_no_handler_is_not_named(
    tmp_path: Path, engine: Containerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    _runtime(tmp_path)
    silent = replace(engine, socket=tmp_path / "nothing")
    monkeypatch.setattr(engine_registry, "at", lambda *_: silent)
    assert features_asked.stale(Places(tmp_path)) == []
    assert features_asked.stale(Places(tmp_path / "other")) == []


def test_an_engine_with_a_socket_of_its_own_is_asked_there(
    tmp_path: Path, engine: Containerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    _runtime(tmp_path)
    dump = f"echo '[grpc]'; echo 'address = \"{engine.socket}\"'"
    (tmp_path / "engine").mkdir()
    machine.fake(tmp_path / "engine", "containerd", dump)
    program = tmp_path / "engine/containerd"
    usual = replace(engine, socket=tmp_path / "nothing", binary=program)
    monkeypatch.setattr(engine_registry, "at", lambda *_: usual)
    assert features_asked.stale(Places(tmp_path)) == [usual]
