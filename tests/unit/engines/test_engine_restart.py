"""What a restart of an engine ends, what takes a change back at boot, and who must be restarted."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runc_wrap.doctor import engine_checks
from runc_wrap.engines import engine_registry, engine_unit, stale_features
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.docker.docker_engine import Docker
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.transaction import engine_restart
from runc_wrap.host import procfs, systemd
from runc_wrap.node.paths import DEFAULT_PREFIX, Places
from tests.unit.engines.engine_node import add, node, write
from tests.unit.node import machine

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


ENDED = [
    ("[false,1,0]", "1 container that runs, as live-restore is off"),
    ("[false,1,1]", RUN),
    ("[false,0,0]", ""),
    ("[true,2,0]", ""),
    ("", "containers that may run, unless live-restore is on"),
    ("[false,null,0]", "containers that may run, unless live-restore is on"),
]


@pytest.mark.parametrize(("told", "words"), ENDED)
def test_docker_without_live_restore_ends_containers(programs: Path, told: str, words: str) -> None:
    machine.fake(programs, "docker", f"echo '{told}'")
    assert Docker(Docker.usual).ended_by_restart() == words


TOGETHER = [
    (REQUIRED, "active", WITH + RUN),
    (BOUND, "active", WITH + RUN),
    (REQUIRED, "inactive", ""),
    (WANTED, "active", ""),
    ("", "active", ""),
]


@pytest.mark.parametrize(("shown", "docker", "words"), TOGETHER)
def test_docker_that_is_restarted_with_containerd_ends_them_too(
    programs: Path, monkeypatch: pytest.MonkeyPatch, shown: str, docker: str, words: str
) -> None:
    _systemd(monkeypatch, shown, docker)
    machine.fake(programs, "docker", "echo '[false,2,0]'")
    assert Containerd(Containerd.usual, unit=UNIT).ended_by_restart() == words


@pytest.fixture
def _shim(tmp_path: Path) -> Iterator[None]:
    """Run a process with the name of a shim."""
    shim = tmp_path / "containerd-shim-runc-v2"
    shim.symlink_to(Path(sys.executable).resolve())
    with subprocess.Popen([shim, "-ISc", "import os; os.read(0, 1)"], stdin=subprocess.PIPE):
        yield


GROUPS = [  # KillMode, the shim's cgroup, whether a restart of crio.service ends it
    ("process", "/s/crio.service", False),
    ("none", "/s/crio.service", False),
    ("control-group", "/s/crio.service", True),
    ("control-group", "/of-another", False),
    ("mixed", "/s/crio.service/x", True),
    ("mixed", "/s/crio.service-x", False),
]


@pytest.mark.usefixtures("_shim")
@pytest.mark.parametrize(("mode", "group", "is_ended"), GROUPS)
def test_shims_in_the_cgroup_of_a_unit_that_kills_all_of_it_end(
    monkeypatch: pytest.MonkeyPatch, mode: str, group: str, *, is_ended: bool
) -> None:
    groups = [("1", "name=systemd", "/"), ("0", "", group)]
    monkeypatch.setattr(procfs, "cgroups", lambda _: groups)
    _systemd(monkeypatch, f"KillMode={mode}\nControlGroup=/s/crio.service\n")
    told = engine_unit.ended_by_restart("crio.service")
    assert bool(told) is is_ended
    said = f"shims or monitors of containers, as crio.service has KillMode={mode}"
    assert not told or told.endswith(said)


def test_installations_have_units_of_their_own_and_remove_no_others(tmp_path: Path) -> None:
    one, other = Places(DEFAULT_PREFIX), Places(Path("/srv/runc-wrap"))
    for places in (one, other):
        engine_restart.write_boot_unit(places, "", tmp_path)
    engine_restart.remove_boot_unit(one, tmp_path)
    assert not (tmp_path / engine_restart.boot_unit_name(one)).exists()
    wants = tmp_path / "multi-user.target.wants"
    assert (wants / engine_restart.boot_unit_name(other)).resolve().is_file()
    engine_restart.remove_boot_unit(other, tmp_path)
    engine_restart.remove_boot_unit(other, tmp_path)
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_it_waits_for_its_state_and_runs_before_every_engine_there_may_be(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "var").symlink_to(tmp_path / "elsewhere")
    text = engine_restart.boot_unit_text(Places(tmp_path), "another.service")
    assert f"RequiresMountsFor={tmp_path} {tmp_path}/elsewhere\n" in text
    (before,) = [line for line in text.splitlines() if line.startswith("Before=")]
    wanted = "containerd crio docker k3s k3s-agent rke2-server rke2-agent another".split()
    assert {f"{name}.service" for name in wanted} <= {*before.removeprefix("Before=").split()}
    with pytest.raises(EngineError, match="a unit cannot name the path /a b"):
        engine_restart.boot_unit_text(Places(Path("/a b")), "")


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


def test_an_engine_older_than_the_runtime_is_named(tmp_path: Path, engine: Containerd) -> None:
    _runtime(tmp_path)  # this process is older
    (remark,) = stale_features.remarks(Places(tmp_path))
    said = f"containerd ({engine.config}) asked for the runtime's features when it started"
    assert remark.startswith(f"warning: {said}")
    assert remark.endswith("restart it: systemctl restart k3s")
    (finding,) = engine_checks.features(Places(tmp_path))
    assert finding.sentence.startswith(said)
    assert finding.command == "systemctl restart k3s"


def test_an_upgrade_of_the_program_counts_though_its_link_is_older(tmp_path: Path) -> None:
    link = _runtime(tmp_path)
    os.utime(link, (1, 1), follow_symlinks=False)
    os.utime(link, (1, 1))  # as a package's files have the time of their build
    assert stale_features.runtime_changed(Places(tmp_path)) > time.time() - 3600
    link.readlink().unlink()
    assert stale_features.runtime_changed(Places(tmp_path)) == 0.0


def test_an_engine_that_does_not_run_or_has_no_handler_is_not_named(
    tmp_path: Path, engine: Containerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    _runtime(tmp_path)
    silent = replace(engine, socket=tmp_path / "nothing")
    monkeypatch.setattr(engine_registry, "at", lambda *_: silent)
    assert stale_features.stale(Places(tmp_path)) == []
    assert stale_features.stale(Places(tmp_path / "other")) == []


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
    assert stale_features.stale(Places(tmp_path)) == [usual]
