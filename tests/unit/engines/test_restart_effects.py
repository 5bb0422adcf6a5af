"""What a restart of an engine's unit ends, as systemd and Docker tell it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runc_wrap.engines import restart_effects
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.docker.docker_engine import Docker
from runc_wrap.host import procfs, systemd
from tests.unit.node import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIT = "containerd.service"
REQUIRED = "KillMode=process\nControlGroup=/x\nRequiredBy=kubelet.service docker.service\n"
BOUND = REQUIRED.replace("RequiredBy", "BoundBy")
WANTED = "KillMode=process\nControlGroup=/x\nRequiredBy=kubelet.service\nBoundBy=\nConsistsOf=\n"
RUN = "2 containers that run, as live-restore is off"
WITH = "Docker's, which systemd restarts with it: "


def _systemd(patch: pytest.MonkeyPatch, shown: str, docker: str = "active") -> None:
    """Let systemd show this of each unit, and say this of Docker's state."""
    properties = dict(line.split("=", 1) for line in shown.splitlines())
    patch.setattr(systemd, "show", lambda units, *_: dict.fromkeys(units, properties))
    patch.setattr(systemd, "state", lambda _: docker)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("[false,1,0]", "1 container that runs, as live-restore is off"),
        ("[false,1,1]", RUN),
        ("[false,0,0]", ""),
        ("[true,2,0]", ""),
        ("", "containers that may run, unless live-restore is on"),
        ("[false,null,0]", "containers that may run, unless live-restore is on"),
    ],
)
def test_docker_without_live_restore_ends_its_containers(
    programs: Path, told: str, words: str
) -> None:
    machine.fake(programs, "docker", f"echo '{told}'")
    assert Docker(Docker.usual).ended_by_restart() == words


@pytest.mark.parametrize(
    ("shown", "docker", "words"),
    [
        (REQUIRED, "active", WITH + RUN),
        (BOUND, "active", WITH + RUN),
        (REQUIRED, "inactive", ""),
        (WANTED, "active", ""),
        ("", "active", ""),
    ],
)
def test_docker_that_is_restarted_with_containerd_ends_them_too(
    programs: Path, monkeypatch: pytest.MonkeyPatch, shown: str, docker: str, words: str
) -> None:
    _systemd(monkeypatch, shown, docker)
    machine.fake(programs, "docker", "echo '[false,2,0]'")
    assert Containerd(Containerd.usual, unit=UNIT).ended_by_restart() == words


@pytest.fixture
def shim(tmp_path: Path) -> Iterator[str]:
    """A process with the name of a shim; its cgroup, which is the test's own."""
    program = tmp_path / "containerd-shim-runc-v2"
    program.symlink_to(Path(sys.executable).resolve())
    code = "import os; print(flush=True); os.read(0, 1)"
    argv = [str(program), "-ISc", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        yield Path(f"/proc/{os.getpid()}/cgroup").read_text().splitlines()[0].split(":", 2)[2]
        process.stdin.close()


@pytest.mark.parametrize("mode", ["process", "none", "control-group", "mixed"])
def test_shims_in_the_cgroup_of_a_unit_that_kills_all_of_it_end(
    monkeypatch: pytest.MonkeyPatch, shim: str, mode: str
) -> None:
    _systemd(monkeypatch, f"KillMode={mode}\nControlGroup={shim}\n")
    told = restart_effects.of_unit(UNIT)
    _systemd(monkeypatch, f"KillMode={mode}\nControlGroup=/of-another\n")
    assert restart_effects.of_unit(UNIT) == ""
    if mode in ("process", "none"):
        assert told == ""
    else:
        assert told.endswith(f"shims or monitors of containers, as {UNIT} has KillMode={mode}")


@pytest.mark.usefixtures("shim")
@pytest.mark.parametrize(
    ("group", "is_its"),
    [("/s/crio.service", True), ("/s/crio.service/x", True), ("/s/crio.service-x", False)],
)
def test_a_unit_whose_name_only_begins_alike_is_another(
    monkeypatch: pytest.MonkeyPatch, group: str, *, is_its: bool
) -> None:
    groups = [("1", "name=systemd", "/"), ("0", "", group)]
    monkeypatch.setattr(procfs, "cgroups", lambda _: groups)
    _systemd(monkeypatch, "KillMode=mixed\nControlGroup=/s/crio.service\n")
    assert ("shims or monitors" in restart_effects.of_unit("crio.service")) is is_its
