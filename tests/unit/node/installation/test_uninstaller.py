"""Taking back an installation and a handler: what is called stays, what is not ours stays."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from runc_wrap.node.engines import container_storage, dependent, dependents, removals
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.registration import plan_execution, registration_plan
from runc_wrap.node.engines.registration.registration_state import Where
from runc_wrap.node.engines.transaction import taking_back
from runc_wrap.node.installation import (
    installation_record,
    running_engines,
    still_needed,
    uninstaller,
)
from runc_wrap.node.paths import Places

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNTIME = Path("/bin/true")  # stands for the real one


@pytest.fixture(name="places")
def an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """One with the handler `strict` in a Docker without containers, and a containerd's task."""
    places = Places(tmp_path / "prefix")
    for directory in (places.wrapper.parent, places.runtime, tmp_path / "docker" / "containers"):
        directory.mkdir(parents=True)
    places.wrapper.touch(0o755)
    (places.runtime / "runc").symlink_to(RUNTIME)
    (places.prefix / "lib" / "current").symlink_to("releases/1")
    where = _docker(places)
    where.config.write_text(json.dumps({"data-root": str(tmp_path / "docker")}))
    plan_execution.carry_out(registration_plan.plan_add(where, "strict", {}))
    monkeypatch.setattr(dependents, "_STATES", (str(tmp_path / "state"),))
    monkeypatch.setattr(container_storage, "directory", lambda: tmp_path / "no-podman")
    return places


def _docker(places: Places) -> Where:
    config = places.prefix.parent / "daemon.json"
    return Where("docker", config, places.wrapper.parent, places.engines)


def _start_task(places: Places) -> Path:
    """Return the path that the shim of a new task calls."""
    task = places.prefix.parent / "state" / "io.containerd.runtime.v2.task" / "default" / "one"
    task.mkdir(parents=True)
    path = places.wrapper.with_name("strict")
    (task / "runtime").write_text(str(path))
    return path


@pytest.mark.parametrize("has_task", [True, False])
def test_a_removed_handlers_link_stays_while_a_task_calls_it(
    places: Places, *, has_task: bool
) -> None:
    path = places.wrapper.with_name("strict")
    if has_task:
        _start_task(places)
    removal = removals.plan(places, _docker(places), "strict")
    assert not removal.is_kept  # Docker needs no name
    plan_execution.carry_out(removal.plan)
    assert path.is_symlink() is has_task
    assert "strict" not in _docker(places).config.read_text()


def test_an_uninstall_has_the_path_of_a_task_lead_to_the_real_runtime(places: Places) -> None:
    path = _start_task(places)
    plan = uninstaller.plan(places)
    assert list(plan.stays) == ["strict"]
    for step in uninstaller.steps(plan):
        step.do()
        assert path.exists(), step.what
    assert path.readlink() == RUNTIME


def _unknown(*_: object) -> NoReturn:
    raise dependent.Unknown("`podman ps --all` or `podman inspect` fails")


def test_while_an_engine_does_not_say_which_containers_it_has_the_paths_stay(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependents, "by_path", _unknown)
    removal = removals.plan(places, _docker(places), "strict")
    assert removal.plan.link_gone is None
    plan = uninstaller.plan(places)
    assert sorted(plan.stays) == ["runc-wrap", "strict"]
    assert plan.stays["strict"] == (
        "there may be containers that need it, as `podman ps --all` or `podman inspect` fails"
    )


@pytest.fixture(name="by_hand")
def file_of_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that an owner wrote."""
    monkeypatch.setattr(still_needed, "_BY_HAND", (str(tmp_path / "engine"),))
    (tmp_path / "engine").mkdir()
    return tmp_path / "engine" / "mine.conf"


@pytest.mark.parametrize("more", ["", "-2"])
def test_a_link_that_an_engines_file_names_stays_with_the_path_that_it_leads_to(
    places: Places, by_hand: Path, more: str
) -> None:
    links = {name: by_hand.with_name(name) for name in ("runc-wrap", "runc-wrapctl", "page")}
    recorded = installation_record.Record()
    for name, link in links.items():
        link.symlink_to(places.wrapper.with_name(name))
        recorded.links[str(link)] = str(link.readlink())
    installation_record.save(places.prefix, recorded)
    by_hand.write_text(f'path = "{links["runc-wrap"]}{more}"\n')
    plan = uninstaller.plan(places)
    for step in uninstaller.steps(plan):
        step.do()
    assert (list(plan.stays), links["runc-wrap"].exists()) == (
        (["runc-wrap"], True) if not more else ([], False)
    )
    assert not links["page"].is_symlink()
    assert str(links["runc-wrapctl"]) in installation_record.load(places.prefix).links


@pytest.fixture(name="service")
def service_in_the_foreground(places: Places) -> Iterator[int]:
    """A service's lock, held by this process."""
    places.agent.mkdir(parents=True)
    with (
        (places.agent / "decide.lock").open("w") as lock,
        (places.agent / "observe.lock").open("w"),
    ):  # a unit's service has its lock open, and does not hold it
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield os.getpid()


def test_an_uninstall_is_refused_while_a_service_runs_that_systemd_did_not_start(
    places: Places, service: int
) -> None:
    with pytest.raises(uninstaller.Refused) as refused:
        uninstaller.plan(places)
    told = str(refused.value)
    assert told.startswith("1 service of the agent that systemd did not start would go on from")
    assert "decide by " in told
    assert f"(pid {service})" in told
    assert told.endswith("or use --strand")
    assert "observe" not in told
    [left] = [one for one in uninstaller.left(uninstaller.plan(places, strands=True))
              if "service" in one.what]  # fmt: skip
    assert f"(pid {service})" in left.what


def test_an_uninstall_leaves_the_path_that_a_running_crio_has_in_memory(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_engines, "OLDER", {"crio": lambda _: False})
    (tmp_path / "crio.conf").write_text(f'[crio]\nroot = "{tmp_path}/storage"\n')
    where = Where("crio", tmp_path / "crio.conf", places.wrapper.parent, places.engines)
    plan_execution.carry_out(registration_plan.plan_add(where, "strict", {}))
    assert not uninstaller.plan(places).stays  # none runs
    monkeypatch.setattr(running_engines, "OLDER", {"crio": lambda since: since > 0})
    plan = uninstaller.plan(places)
    assert plan.stays["strict"] == "crio has not read its configuration since; restart it"
    for step in uninstaller.steps(plan):
        step.do()
    assert not (tmp_path / "crio.conf.d").exists()
    assert places.wrapper.with_name("strict").readlink() == RUNTIME
    assert installation_record.load(places.prefix).reread["crio/strict"] > 0


def test_no_engine_gets_a_runtime_that_an_uninstall_has_handed_over(places: Places) -> None:
    """Its containers would start unconfined, and nothing would say so."""
    places.wrapper.unlink()
    places.wrapper.symlink_to(RUNTIME)
    with pytest.raises(EngineError, match=r"leads to /bin/true.*install\.sh"):
        registration_plan.plan_add(_docker(places), "other", {})


@pytest.mark.parametrize("directory", ["bin", "lib"])
def test_the_script_that_ends_it_removes_nothing_when_it_is_run_elsewhere(
    directory: str, tmp_path: Path
) -> None:
    script = tmp_path / directory / "finish.sh"
    script.parent.mkdir()
    shutil.copy(Path(uninstaller.__file__).with_name("finish.sh"), script)
    kept = tmp_path / "var" / "lock" / "precious"
    kept.parent.mkdir(parents=True)
    kept.touch()
    done = subprocess.run(["/bin/sh", script], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 2
    assert kept.exists()
    assert script.exists()


def test_the_script_that_ends_it_leaves_nothing_of_what_is_recorded(tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    script = prefix / "bin" / "runc-wrapctl"
    script.parent.mkdir(parents=True)
    shutil.copy(Path(uninstaller.__file__).with_name("finish.sh"), script)
    places = Places(prefix)
    recorded = [getattr(places, name) for name, value in vars(Places).items() if is_property(value)]
    directories = {path for path in recorded if path.parent == places.var}
    assert len(directories) >= 6
    for path in (*directories, taking_back.directory(places), places.var / "metrics"):
        path.mkdir(parents=True, exist_ok=True)
        (path / "one.json").touch()
    script.write_text(script.read_text().replace("\npurges=''", "\npurges=yes"))
    done = subprocess.run(["/bin/sh", script], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (0, "runc-wrap is removed.\n")
    assert not prefix.exists()


@pytest.mark.parametrize("has_records", [True, False])
@pytest.mark.parametrize("words", [(), ("--quiet",), ("uninstall", "--purge")])
def test_the_script_that_ends_it_keeps_records_without_purge(
    tmp_path: Path, words: tuple[str, ...], *, has_records: bool
) -> None:
    """The words of one who runs it again do not count: it was told in its text."""
    prefix = tmp_path / "prefix"
    script = prefix / "bin" / "runc-wrapctl"
    script.parent.mkdir(parents=True)
    shutil.copy(Path(uninstaller.__file__).with_name("finish.sh"), script)
    kept = {prefix / "var" / name / "below" / "one" for name in uninstaller.RECORDS}
    for path in kept:
        path.parent.mkdir(parents=True)
        if has_records:
            path.touch()
    (prefix / "var" / "agent").mkdir()
    (prefix / "var" / "agent" / "one").touch()
    done = subprocess.run(["/bin/sh", script, *words], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    left = f"left, as it is not empty: {prefix}\n" if has_records else ""
    assert done.stdout == ("" if words == ("--quiet",) else f"{left}runc-wrap is removed.\n")
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == (
        kept if has_records else set()
    )
    assert prefix.exists() is has_records


def is_property(value: object) -> bool:
    return isinstance(value, property)
