"""What must not happen to an engine's files: a partial change, a lost mode, an overwritten edit."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from runc_wrap.engines import engine_files
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import (
    registration_plan,
    registration_state,
)
from tests.unit.engines.engine_node import add, node, remove, write

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_change_that_may_have_restarted_an_engine_is_not_undone_by_the_way(
    tmp_path: Path,
) -> None:
    where = node(tmp_path, "docker")
    plan = registration_plan.plan_add(where, "x", {})
    registration_plan.carry_out(plan, {"by": "root", "config": str(where.config)})
    with pytest.raises(EngineError, match=f"{where.config} is being changed by root"):
        registration_plan.settle(where.change)
    with pytest.raises(EngineError, match=f"{where.config} is being changed by root"):
        add(where, "y")
    assert "x" in json.loads(where.config.read_text())["runtimes"]


def test_a_file_that_changes_after_the_plan_is_not_overwritten(tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    write(where.config, "{}")
    plan = registration_plan.plan_add(where, "runc-wrap", {})
    where.config.write_text('{"theirs": 1}')
    with pytest.raises(EngineError, match="changed meanwhile"):
        registration_plan.carry_out(plan)
    assert json.loads(where.config.read_text()) == {"theirs": 1}


@pytest.mark.parametrize("data", [b"\xff", b"{}" + b" " * engine_files.MAX_BYTES])
def test_a_file_that_is_not_text_is_refused(data: bytes, tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    where.config.parent.mkdir()
    where.config.write_bytes(data)
    with pytest.raises(EngineError, match="wanted"):
        registration_plan.plan_add(where, "runc-wrap", {})


def test_files_that_are_too_large_to_be_kept_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that cannot be read again would lock the handler in."""
    where = node(tmp_path, "docker")
    write(where.config, '{"a": "\u00e9"}')
    plan = registration_plan.plan_add(where, "x", {})
    size = len(plan.after.text().encode())
    monkeypatch.setattr(engine_files, "MAX_BYTES", size)
    registration_plan.carry_out(registration_plan.plan_add(where, "x", {}))
    assert registration_state.of(where) == plan.after
    remove(where, "x")
    monkeypatch.setattr(engine_files, "MAX_BYTES", size - 1)
    with pytest.raises(EngineError, match=f"wanted {size - 1} bytes at most"):
        registration_plan.plan_add(where, "x", {})


def test_a_state_without_its_handlers_is_refused_as_damaged(tmp_path: Path) -> None:
    """`doctor` reports it; without the check it would end with a traceback."""
    where = node(tmp_path, "docker")
    write(where.state_file, '{"format": 2, "engine": "docker", "config": "/x", "facts": {}}')
    with pytest.raises(EngineError, match="handlers: found nothing"):
        registration_state.states(where.state_dir)


def test_a_state_of_another_format_is_refused(tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    former = registration_state.empty("docker", where.config).text()
    write(where.state_file, former.replace('"format": 2', '"format": 3'))
    with pytest.raises(EngineError, match="format: found 3, wanted 2"):
        registration_plan.plan_remove(where, "runc-wrap")
