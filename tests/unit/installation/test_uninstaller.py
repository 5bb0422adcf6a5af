"""Taking back an installation and a handler: what is called stays, what is not ours stays."""

import fcntl
import json
import os
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, NoReturn

import pytest

from runc_wrap.engines import dependent_container, engine_registry, handler_removal, handler_users
from runc_wrap.engines.containerd import containerd_engine
from runc_wrap.engines.crio.crio_engine import Crio
from runc_wrap.engines.docker.docker_engine import Docker
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.podman import podman_engine
from runc_wrap.engines.podman.podman_engine import Podman
from runc_wrap.engines.probe_container import CANARY
from runc_wrap.engines.registration import registration_plan
from runc_wrap.engines.registration.registration_state import Where
from runc_wrap.engines.transaction import engine_restart
from runc_wrap.failure import Failure
from runc_wrap.host import procfs, runtime_state, systemd
from runc_wrap.installation import links as all_links
from runc_wrap.installation import releases, uninstall_obstacles, uninstaller
from runc_wrap.ledger import whole_ledger
from runc_wrap.ledger.decision_record import SELFTEST
from runc_wrap.node.paths import Places

RUNTIME = Path("/bin/true")  # stands for the real one


@pytest.fixture(name="places")
def an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """One with the handler `strict` in a Docker without containers, and a containerd's task."""
    places = Places(tmp_path / "prefix")
    for directory in (places.wrapper.parent, places.runtime):
        directory.mkdir(parents=True)
    places.wrapper.touch(0o755)
    (places.runtime / "runc").symlink_to(RUNTIME)
    (places.prefix / "lib" / "current").symlink_to("releases/1")
    where = _docker(places)
    where.config.write_text('{"debug": true}')
    registration_plan.carry_out(registration_plan.plan_add(where, "strict", {}))
    monkeypatch.setattr(containerd_engine, "_STATES", (str(tmp_path / "state"),))
    monkeypatch.setattr(Docker, "needing", lambda *_: iter(()))
    monkeypatch.setattr(podman_engine, "storage", lambda: tmp_path / "no-podman")
    monkeypatch.setattr(engine_registry, "detected", list)
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


def test_a_task_that_came_after_the_plan_keeps_the_handler(places: Places) -> None:
    where = _docker(places)
    before = where.config.read_text()
    removal = handler_removal.plan(places, where, "strict")
    path = _start_task(places)
    look_again = partial(handler_removal.look_again, places, removal)
    with pytest.raises(EngineError, match=r"needed by 1 container: default/one"):
        registration_plan.carry_out(removal.plan, check=look_again)
    assert (where.config.read_text(), path.is_symlink()) == (before, True)


def test_what_is_handed_over_does_not_touch_the_other_handlers(places: Places) -> None:
    _start_task(places)
    where = _docker(places)
    registration_plan.carry_out(registration_plan.plan_add(where, "other", {}, default=True))
    for name, default, left in (
        ("strict", "other", ["other", "strict"]),
        ("other", None, ["strict"]),
    ):
        removal = handler_removal.plan(places, where, name, hands_over=name == "strict")
        registration_plan.carry_out(removal.plan)
        document = json.loads(where.config.read_text())
        assert (document.get("default-runtime"), sorted(document["runtimes"])) == (default, left)


def _done(plan: uninstaller.UninstallPlan, stays: Path | None = None) -> None:
    """Do all steps, through which the name that engines call is there."""
    for what, do in uninstaller.steps(plan):
        do()
        assert stays is None or os.path.lexists(stays), what


def test_an_uninstall_is_refused_while_a_task_calls_a_path_or_hands_over(places: Places) -> None:
    path = _start_task(places)
    with pytest.raises(Failure, match=f"{path}: 1 container: default/one"):
        uninstaller.plan(places)
    runtime = places.runtime / "runc"
    runtime.unlink()  # without which nothing is handed over
    with pytest.raises(EngineError, match="no runc or crun"):
        uninstaller.plan(places, hands_over=True)
    runtime.symlink_to(RUNTIME)
    plan = uninstaller.plan(places, hands_over=True)
    assert list(plan.stays) == ["strict"]
    _done(plan, path)
    assert path.readlink() == RUNTIME
    left = [what for what, _ in uninstaller.left(plan)]
    assert f"{path}, which leads to {RUNTIME}" in left


def test_killed_after_any_step_it_can_be_run_again(places: Places) -> None:
    done = list[str]()
    while (step := next(uninstaller.steps(uninstaller.plan(places))))[0] not in done:
        step[1]()
        done.append(step[0])
    assert len(done) == 3
    assert [*places.wrapper.parent.iterdir()] == []
    assert "strict" not in _docker(places).config.read_text()


@pytest.mark.parametrize("runs", [True, False])
def test_while_containers_in_observe_run_it_is_refused_whatever_is_handed_over(
    places: Places, monkeypatch: pytest.MonkeyPatch, *, runs: bool
) -> None:
    """Without the service, what their profiles would deny fails with ENOSYS."""
    its = SimpleNamespace(has_listener=True, id="one", handler="x")
    others = SimpleNamespace(has_listener=False, id="two", handler="x")
    read = SimpleNamespace(records={"one": its, "two": others})
    monkeypatch.setattr(whole_ledger, "read", lambda _: read)
    own = os.getpid(), procfs.started(os.getpid()) if runs else -1
    monkeypatch.setattr(runtime_state, "first_process", lambda _: own)
    for hands_over in (False, True):
        if not runs:
            uninstaller.plan(places, hands_over=hands_over)
            continue
        with pytest.raises(Failure, match="1 container in mode observe, or recorded: one"):
            uninstaller.plan(places, hands_over=hands_over)


FAILS = "`podman ps --all` or `podman inspect` fails"


def _unknown(*_: object) -> NoReturn:
    raise dependent_container.Unknown(FAILS)


def test_an_engine_that_does_not_say_its_containers_and_what_users_run_are_named_and_no_veto(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = [dependent_container.Dependent("podman of uid 7", "mine", "running")]
    monkeypatch.setattr(Podman, "of_users", lambda name: theirs * (name == "strict"))
    users = "mine (podman of uid 7, running) needs strict"
    monkeypatch.setattr(handler_users, "calling", _unknown)
    removal = handler_removal.plan(places, _docker(places), "strict")
    told = f"there may be containers that need strict, as {FAILS}"
    assert ({*removal.named}, removal.given) == ({told, users}, [])
    plan = uninstaller.plan(places)
    assert {told, users} <= {why for _, why in uninstaller.left(plan)}
    assert plan.stays == {}
    assert sorted(uninstaller.plan(places, hands_over=True).stays) == ["runc-wrap", "strict"]


def test_a_container_that_is_known_counts_whatever_is_not_known_beside_it(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    _start_task(places)
    monkeypatch.setattr(Podman, "calling", _unknown)
    with pytest.raises(EngineError, match=r"is needed by 1 container: default/one"):
        handler_removal.plan(places, _docker(places), "strict")


class Running(Crio):
    """A CRI-O that runs; `tells` is what it has in memory, None if it is old."""

    tells: ClassVar[dict[str, str] | None]
    why: ClassVar[str]

    def running(self) -> dict[str, str] | None:
        return self.tells

    def silence(self) -> str:
        return self.why


@pytest.mark.parametrize("is_registered", [True, False])
def test_an_engine_that_has_a_path_in_memory_needs_it(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_registered: bool
) -> None:
    config = tmp_path / "crio.conf"
    config.write_text(f'[crio]\nroot = "{tmp_path}/storage"\n')
    where = Where("crio", config, places.wrapper.parent, places.engines)
    if is_registered:
        registration_plan.carry_out(registration_plan.plan_add(where, "strict", {}))
    path, crio = places.wrapper.with_name("strict"), Running(config, RUNTIME)
    monkeypatch.setattr(engine_registry, "detected", lambda: [crio])
    for tells, silence, is_needed, is_named in (
        ({"strict": str(path)}, "", True, False),
        ({"runc": "/usr/bin/runc"}, "", False, False),
        (None, "", is_registered, False),  # before 1.30 it does not tell
        (None, "nobody answers", False, is_registered),
    ):
        Running.tells, Running.why = tells, silence
        if is_needed:
            with pytest.raises(Failure, match=f"{path}: crio"):
                uninstaller.plan(places)
        else:
            told = [why for _, why in uninstaller.left(uninstaller.plan(places))]
            assert any("nobody answers" in each for each in told) is is_named
    assert "strict" not in uninstaller.plan(places, hands_over=True).stays or is_registered


@pytest.fixture(name="by_hand")
def file_of_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that an owner wrote."""
    monkeypatch.setattr(uninstall_obstacles, "_BY_HAND", (str(tmp_path / "engine"),))
    (tmp_path / "engine").mkdir()
    return tmp_path / "engine" / "mine.conf"


@pytest.mark.parametrize("more", ["", "-2"])
def test_a_link_that_an_engines_file_names_stays_with_the_path_that_it_leads_to(
    places: Places, by_hand: Path, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    monkeypatch.setattr(all_links, "LOCAL", places.prefix.parent)
    names = ("runc-wrap", "runc-wrapctl", "runc-wrap-page")
    links = {name: places.prefix.parent / "bin" / name for name in names}
    places.prefix.with_name("bin").mkdir()
    for name, link in links.items():
        link.symlink_to(places.wrapper.with_name(name))
    by_hand.write_text(f'path = "{links["runc-wrap"]}{more}"\n')
    if not more:
        with pytest.raises(Failure, match=f"{by_hand} names it"):
            uninstaller.plan(places)
    plan = uninstaller.plan(places, hands_over=True)
    _done(plan)
    assert (list(plan.stays), links["runc-wrap"].exists()) == (["runc-wrap"] * (not more), not more)
    assert not links["runc-wrap-page"].is_symlink()
    assert links["runc-wrapctl"].is_symlink()


def test_a_name_that_is_handed_over_is_there_at_every_moment(places: Places, by_hand: Path) -> None:
    """Though no container needs the registered handler of that name."""
    path = places.wrapper.with_name("strict")
    by_hand.write_text(f'path = "{path}"\n')
    plan = uninstaller.plan(places, hands_over=True)
    assert [one.given for one in plan.removals] == [[]]
    _done(plan, path)
    assert path.readlink() == RUNTIME


def test_the_boots_unit_of_a_killed_change_goes_too(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that was killed before it changed anything has no record, and left that unit."""
    monkeypatch.setattr(systemd, "UNITS", tmp_path / "units")
    systemd.UNITS.mkdir()
    engine_restart.write_boot_unit(places, "docker.service", systemd.UNITS)
    _done(uninstaller.plan(places))
    assert [one for one in systemd.UNITS.rglob("*") if not one.is_dir()] == []


def test_it_is_refused_while_a_service_runs_that_systemd_did_not_start(places: Places) -> None:
    places.agent.mkdir(parents=True)
    locks = [(places.agent / f"{name}.lock").open("w") for name in ("decide", "observe")]
    with locks[0], locks[1]:  # a unit's service has its lock open, and does not hold it
        fcntl.flock(locks[0], fcntl.LOCK_EX)
        with pytest.raises(Failure) as refused:
            uninstaller.plan(places)
    told = str(refused.value)
    assert told.startswith("1 service of the agent that systemd did not start would go on")
    parts = ("decide by ", f"(pid {os.getpid()})", "observe")
    assert [part in told for part in parts] == [True, True, False]


def test_no_engine_gets_a_runtime_that_an_uninstall_has_handed_over(places: Places) -> None:
    """Its containers would start unconfined, and nothing would say so."""
    places.wrapper.unlink()
    places.wrapper.symlink_to(RUNTIME)
    with pytest.raises(EngineError, match=r"leads to /bin/true.*install\.sh"):
        registration_plan.plan_add(_docker(places), "other", {})


def _end(tmp_path: Path) -> Places:
    """Return an installation of which all but the rest has been removed."""
    made = Places(tmp_path / "prefix")
    for path in (made.wrapper.with_name("runc-wrapctl"), made.prefix / "lib/releases/1.x/python"):
        path.parent.mkdir(parents=True)
        path.touch()
    (made.prefix / "lib" / "current").symlink_to("releases/1.x")
    return made


def test_the_end_of_it_leaves_nothing_of_what_is_recorded(tmp_path: Path) -> None:
    made = _end(tmp_path)
    directories = {path for path in vars(made).values() if path.parent == made.var}
    assert len(directories) >= 6
    killed = (made.var / f"{name}-x1_" for name in (CANARY, SELFTEST))
    others = (made.var / "metrics", made.current.parent, made.var / "lock")
    for path in (*directories, made.var / "changes", *others, *killed):
        path.mkdir(parents=True, exist_ok=True)
        (path / "one.json").touch()
    assert uninstaller.finish(made, purges=True) == ["runc-wrap is removed."]
    assert not made.prefix.exists()


def test_killed_while_its_release_goes_it_leaves_no_command_and_no_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a cluster's pod would run a command for ever that cannot be executed."""
    made = _end(tmp_path)

    def killed(path: Path, **_: object) -> None:
        if path.parent.name == "releases":
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        uninstaller.finish(made, purges=True)
    assert not os.path.lexists(made.wrapper.with_name("runc-wrapctl"))
    assert not releases.in_force(made.prefix)


@pytest.mark.parametrize("has_records", [True, False])
def test_the_end_of_it_keeps_records_without_purge_and_what_is_anothers(
    tmp_path: Path, *, has_records: bool
) -> None:
    made = _end(tmp_path)
    kept = {made.var / name / "one" for name in uninstaller.RECORDS}
    kept = kept | {made.var / "agent2" / "x", made.prefix / "lib" / "x"} if has_records else kept
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        if has_records:
            path.touch()
    (made.var / "agent").mkdir()
    (made.var / "agent" / "one").touch()
    told = [f"left, as it is not empty: {made.prefix}"] * has_records
    assert uninstaller.finish(made, purges=False) == [*told, "runc-wrap is removed."]
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert left == (kept if has_records else set())
    assert made.prefix.exists() is has_records


def test_two_handlers_of_one_engine_go_in_one_run(places: Places) -> None:
    where = _docker(places)
    registration_plan.carry_out(registration_plan.plan_add(where, "other", {}, default=True))
    _done(uninstaller.plan(places, hands_over=True))  # which nothing needs
    assert not places.wrapper.with_name("strict").is_symlink()
    assert where.config.read_text() == '{"debug": true}'
