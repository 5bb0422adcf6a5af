"""What must not happen to an engine's files: a partial change, a lost mode, an overwritten edit."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from typing import TYPE_CHECKING

import pytest

from harness.host import disk_faults
from runc_wrap.node.engines import engine_files
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.registration import (
    plan_execution,
    registration_plan,
    registration_state,
)
from tests.unit.node.engines.engine_node import add, node, remove, snapshot, write

Snapshot = dict[str, tuple[int, bytes | None]]

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.engines.registration.registration_state import Where


def test_mode_owner_and_a_symbolic_link_survive(tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    real = write(tmp_path / "real.json", "{}")
    real.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real, 1, 2)
    owner = (real.stat().st_uid, real.stat().st_gid)
    where.config.parent.mkdir()
    where.config.symlink_to(real)
    add(where)
    assert where.config.is_symlink()
    assert "runc-wrap" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640
    assert (real.stat().st_uid, real.stat().st_gid) == owner


def test_an_error_midway_restores_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = node(tmp_path, "containerd")
    write(where.config, "version = 3\n")
    before, real = snapshot(tmp_path), engine_files.write

    def full(path: Path, text: str, mode: int = 0o644) -> None:
        if "conf.d" in str(path.parent):
            raise OSError(28, "No space left on device")
        real(path, text, mode)

    monkeypatch.setattr(engine_files, "write", full)
    with pytest.raises(OSError, match="No space"):
        add(where, "x", major=2)
    assert snapshot(tmp_path) == before
    assert not registration_state.states(where.state_dir)


def _killed_at(step: int, where: Where, name: str, *, removing: bool) -> None:
    """Add or remove in a separate process that dies before its write `step`."""
    if (pid := os.fork()) != 0:
        os.waitpid(pid, 0)
        return
    real, left = engine_files.write, [step]

    def dying(path: Path, text: str, mode: int = 0o644) -> None:
        left[0] -= 1
        if left[0] < 0:
            os._exit(9)
        real(path, text, mode)

    engine_files.write = dying
    try:
        remove(where, name) if removing else add(where, name, major=2)
    finally:
        os._exit(0)


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("first", [None, "b"])
@pytest.mark.parametrize("removing", [False, True])
def test_a_command_killed_at_any_write_can_be_run_again(
    step: int, first: str | None, removing: bool, tmp_path: Path
) -> None:
    where = node(tmp_path, "containerd")
    write(where.config, "version = 3\n")
    before = snapshot(tmp_path)
    if first:
        add(where, first, major=2)
    if removing:
        add(where, "x", major=2)
    _killed_at(step, where, "x", removing=removing)
    add(where, "x", major=2)
    assert "bin/x" in (tmp_path / "etc/conf.d/50-runc-wrap-x.toml").read_text()
    for name in filter(None, ("x", first)):
        remove(where, name)
    assert snapshot(tmp_path) == before


def test_a_power_cut_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    root = tmp_path / "etc"
    config = write(root / "config.toml", "old")
    with disk_faults.recorded(root) as moments:
        engine_files.write(config, "new")
    for call, tree in disk_faults.crashes(moments):
        assert tree["config.toml"] in (b"old", b"new"), call
    assert [tree["config.toml"] for tree in moments[-1].cuts] == [b"new"]


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("fault", disk_faults.FAULTS)
@pytest.mark.parametrize("removing", [False, True])
def test_any_failing_call_leaves_the_engines_files_old_or_new_and_a_retry_works(
    tmp_path: Path, fault: int | str, *, lasting: bool, removing: bool
) -> None:
    for number in itertools.count(1):
        at = tmp_path / str(number)
        at.mkdir()
        where = node(at, "containerd")
        write(where.config, "version = 3\n")
        without = snapshot(at / "etc")
        add(where, "x", major=2)
        registered = snapshot(at / "etc")
        if not removing:
            remove(where, "x")
        with (
            disk_faults.failing(number, fault, lasting=lasting) as told,
            contextlib.suppress(OSError),
        ):
            remove(where, "x") if removing else add(where, "x", major=2)
        if not told.failed:
            break
        found = _files(snapshot(at / "etc"))
        if lasting:  # no room to take it back either: each file for itself is old or new
            assert found.items() <= {*without.items(), *registered.items()}, told.failed
        else:
            assert found in (_files(without), _files(registered)), told.failed
        add(where, "x", major=2)
        assert _files(snapshot(at / "etc")) == _files(registered), told.failed
        remove(where, "x")
        assert _files(snapshot(at / "etc")) == _files(without), told.failed
    assert number > 10


def _files(found: Snapshot) -> Snapshot:
    """Return a snapshot without directories: an empty one that cannot be removed does no harm."""
    return {path: what for path, what in found.items() if what[1] is not None}


def test_a_file_that_changes_after_the_plan_is_not_overwritten(tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    write(where.config, "{}")
    plan = registration_plan.plan_add(where, "runc-wrap", {})
    where.config.write_text('{"theirs": 1}')
    with pytest.raises(EngineError, match="changed meanwhile"):
        plan_execution.carry_out(plan)
    assert json.loads(where.config.read_text()) == {"theirs": 1}


@pytest.mark.parametrize("data", [b"\xff", b"{}" + b" " * engine_files.MAX_BYTES])
def test_a_file_that_is_not_text_is_refused(data: bytes, tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    where.config.parent.mkdir()
    where.config.write_bytes(data)
    with pytest.raises(EngineError, match="wanted"):
        registration_plan.plan_add(where, "runc-wrap", {})


def test_a_state_without_its_handlers_is_refused_as_damaged(tmp_path: Path) -> None:
    """`doctor` reports it; without the check it would end with a traceback."""
    where = node(tmp_path, "docker")
    write(where.state_file, '{"format": 1, "engine": "docker", "config": "/x", "facts": {}}')
    with pytest.raises(EngineError, match="'handlers'"):
        registration_state.states(where.state_dir)


def test_a_state_of_another_format_is_refused(tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    write(where.state_file, '{"format": 2}')
    with pytest.raises(EngineError, match="format 2"):
        registration_plan.plan_remove(where, "runc-wrap")
