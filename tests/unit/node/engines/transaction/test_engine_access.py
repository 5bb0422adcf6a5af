"""What a transaction asks of an engine before it is restarted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runc_wrap.node.engines.cri.grpc_call import CallFailed
from runc_wrap.node.engines.kinds.engine_kind import Installation
from runc_wrap.node.engines.transaction.engine_access import Docker
from tests.unit.node import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = Path("/etc/docker/daemon.json")


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        yield machine.empty(tmp_path, patch)


@pytest.mark.parametrize(
    ("version", "refusal"),
    [
        ("26.1.5", "docker refuses its files: no such setting"),
        (None, "docker refuses its files: no such setting"),
        ("20.10.24", ""),  # it knows no --validate
    ],
)
def test_a_dockerd_that_can_check_its_file_is_asked(
    programs: Path, version: str | None, refusal: str
) -> None:
    binary = machine.fake(programs, "dockerd", "echo no such setting >&2; exit 1")
    found = Installation("docker", CONFIG, binary, "docker.service", Path("/s"), "", version)
    assert Docker(found).refusal() == refusal


def test_one_that_is_not_installed_refuses() -> None:
    found = Installation("docker", CONFIG, None, "docker.service", Path("/s"), "", "20.10.24")
    assert "docker is not installed" in Docker(found).refusal()


@pytest.mark.parametrize(
    ("listed", "removes", "why"),
    [
        ("cat {left}", "echo >{left}", ""),
        (
            "cat {left}",
            "echo device or resource busy >&2; exit 1",
            "our canary: device or resource",
        ),
        ("echo no daemon >&2; exit 1", "", "does not tell its containers: no daemon"),
    ],
)
def test_a_canary_counts_as_removed_only_if_it_has_gone(
    programs: Path, listed: str, removes: str, why: str
) -> None:
    """Otherwise what a power cut left would be forgotten."""
    left = programs.with_name("left")
    left.write_text("0123\n")
    script = f"case $1 in ps) {listed};; rm) {removes};; esac".format(left=left)
    binary = machine.fake(programs, "docker", script.replace("cat ", "/bin/cat "))
    found = Installation("docker", CONFIG, binary, "docker.service", Path("/s"), "", "26.1.5")
    if why:
        with pytest.raises(CallFailed, match=why):
            Docker(found).remove_canaries()
    else:
        Docker(found).remove_canaries()
        assert left.read_text() == "\n"
