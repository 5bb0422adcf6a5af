"""What engines are asked about a new registration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runc_wrap.engines import engine_query
from runc_wrap.engines.handler import Handler
from tests.unit.node import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = Path("/etc/docker/daemon.json")


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Path]:
    """A machine with no programs but those that a test makes."""
    with pytest.MonkeyPatch.context() as patch:
        yield machine.empty(tmp_path, patch)


@pytest.mark.parametrize(
    ("version", "validate", "problem"),
    [
        ("26.1.5", "true", None),
        ("26.1.5", "false", f"dockerd --validate refuses {CONFIG}"),
        ("20.10.24", "echo unknown flag >&2; false", None),
    ],
    ids=["fine", "refused", "cannot check"],
)
def test_dockerd_is_asked_about_the_new_file_if_it_can_check_one(
    programs: Path, version: str, validate: str, problem: str | None
) -> None:
    says = f"[ $1 = --validate ] || exec echo Docker version {version}, build x"
    machine.fake(programs, "dockerd", f"{says}\n{validate}")
    handler = Handler("runc-wrap", "/opt/runc-wrap/bin/runc-wrap")
    assert engine_query.problem("docker", CONFIG, handler, {}) == problem
