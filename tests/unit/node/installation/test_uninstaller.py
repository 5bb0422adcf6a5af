"""Taking back an installation and a handler: what is called stays, what is not ours stays."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from runc_wrap.node.engines import dependents, removals
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.registration import plan_execution, registration_plan
from runc_wrap.node.engines.registration.registration_state import Where
from runc_wrap.node.engines.transaction import journal
from runc_wrap.node.installation import installation_record, running_engines, uninstaller
from runc_wrap.node.paths import Places

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
    for path in (*directories, journal.directory(places), places.var / "metrics"):
        path.mkdir(parents=True, exist_ok=True)
        (path / "one.json").touch()
    done = subprocess.run(["/bin/sh", script], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert not prefix.exists()


def is_property(value: object) -> bool:
    return isinstance(value, property)
