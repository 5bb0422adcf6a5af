"""Putting a policy in force: whole or not at all, one at a time; and what changed since."""

import contextlib
import itertools
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.host import disk_faults
from runc_wrap.hotpath.policy_file import VERSION
from runc_wrap.launcher import shared_words
from runc_wrap.policy import policy_store
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.policy.settings import policy_sources
from runc_wrap.profiles.json_profiles import profile_files
from tests.unit.policy.node import PROFILE, compiled, in_force, load_profile, policies

OLD = compiled()
NEW = compiled({"on_error": "run-unmodified"}, own_profiles={"a": PROFILE})


def test_the_launcher_reads_that_file_from_where_it_is_written() -> None:
    c = Path(shared_words.__file__).with_name("launcher.c").read_text()
    assert f'#define POLICY_FORM "{VERSION}"\n' in shared_words.header()
    assert '"var/policy." POLICY_FORM "/current/run-unmodified"\n' in c


def test_the_previous_policy_stays_for_creates_that_still_read_it(tmp_path: Path) -> None:
    where = policies(tmp_path)
    marker = where / "current/run-unmodified"  # which tells the launcher
    policy_store.put_in_force(OLD, tmp_path)
    assert not marker.exists()
    first = (where / "current").resolve()
    (where / "7").mkdir()  # what a crash left
    policy_store.put_in_force(NEW, tmp_path)
    assert {path.name for path in where.iterdir()} == {first.name, "8", "current"}
    assert (where / "current").readlink() == Path("8")
    assert marker.is_file()
    policy_store.put_in_force(OLD, tmp_path)
    assert not first.exists()


OTHERS = """
    var/policy.2/notes/1/policy.json var/policy.2/1.old/policy.json var/policy.2/readme
    var/policy.1/1/policy.json var/compiled/1/policy.json
    lib/readme lib/1/file lib/releases/1/venv/bin/python
"""


def test_other_files_beside_policy_and_runtime_are_never_removed(tmp_path: Path) -> None:
    others = [tmp_path / name for name in OTHERS.split()]
    for other in others:
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_text("another's")
    (tmp_path / "lib/current").symlink_to("releases/1")
    for what in (OLD, NEW, OLD, compiled(runtime_kind="crun"), NEW):
        policy_store.put_in_force(what, tmp_path)
    assert [other.read_text() for other in others] == ["another's"] * len(others)
    assert (tmp_path / "lib/current").readlink() == Path("releases/1")


@pytest.mark.parametrize("mask", [0o077, 0])
def test_rootless_engines_can_read_it_and_nobody_else_change_it(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        policy_store.put_in_force(NEW, tmp_path)
    finally:
        os.umask(before)
    made = [path for path in tmp_path.glob("*/*/**") if not path.is_symlink()]
    assert {policies(tmp_path), tmp_path / "lib/runtime"} <= {*made}
    assert [path for path in made if path.stat().st_mode & 0o022] == []
    current = (policies(tmp_path) / "current").resolve()
    for path in (current, *current.rglob("*.json"), current / "profiles"):
        assert path.stat().st_mode & 0o044 == 0o044


CRUN = compiled(runtime_kind="crun", runtime_path="/usr/bin/crun", runtime_version="1.21")


@pytest.mark.parametrize("new", [NEW, CRUN], ids=["more profiles", "another runtime"])
def test_a_power_cut_leaves_the_old_or_the_whole_new_policy(tmp_path: Path, new: Compiled) -> None:
    policy_store.put_in_force(OLD, tmp_path / "prefix")
    with disk_faults.recorded(tmp_path / "prefix") as moments:
        policy_store.put_in_force(new, tmp_path / "prefix")
    for number, (call, tree) in enumerate(disk_faults.crashes(moments)):
        prefix = disk_faults.put(tree, tmp_path / str(number))
        found = in_force(prefix)
        assert found in (OLD.policy, new.policy), call
        for name, mode in (new if found == new.policy else OLD).profiles:
            load_profile(prefix, name, mode)
        links = {one.readlink() for one in (prefix / "lib/runtime").iterdir()}
        assert links & {Path(each.policy["runtime"]["path"]) for each in (OLD, new)}, call
    for number, tree in enumerate(moments[-1].cuts):  # what was told to be in force is
        prefix = disk_faults.put(tree, tmp_path / f"end{number}")
        assert in_force(prefix) == new.policy
        (link,) = (prefix / "lib/runtime").iterdir()
        assert link.readlink() == Path(new.policy["runtime"]["path"])


@disk_faults.EACH_FAULT
def test_any_failing_call_leaves_one_whole_policy_and_the_next_apply_works(
    tmp_path: Path, fault: int | str, *, lasting: bool
) -> None:
    for number in itertools.count(1):
        prefix = tmp_path / str(number)
        policy_store.put_in_force(OLD, prefix)
        failing = disk_faults.failing(number, fault, lasting=lasting)
        with failing as told, contextlib.suppress(OSError):
            policy_store.put_in_force(NEW, prefix)
        if not told.failed:
            break
        found = in_force(prefix)
        assert found in (OLD.policy, NEW.policy), told.failed
        for name, mode in (NEW if found == NEW.policy else OLD).profiles:
            load_profile(prefix, name, mode)
        policy_store.put_in_force(NEW, prefix)
        assert in_force(prefix) == NEW.policy, told.failed
    assert number > 20


def test_of_two_simultaneous_applies_one_is_wholly_in_force(tmp_path: Path) -> None:
    policy_store.put_in_force(OLD, tmp_path)
    failed: list[BaseException] = []

    def put(what: Any) -> None:
        try:
            policy_store.put_in_force(what, tmp_path)
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=put, args=(what,)) for what in (OLD, NEW) * 5]
    for thread in threads:
        thread.start()
    seen = [in_force(tmp_path) for _ in range(200)]
    for thread in threads:
        thread.join()
    assert not failed
    assert all(found in (OLD.policy, NEW.policy) for found in seen)
    assert len([*policies(tmp_path).iterdir()]) == 3  # with `current`


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(profile_files, "SYSTEM_FILES", (str(tmp_path / "seccomp.json"),))
    etc = tmp_path / "etc"
    (etc / "conf.d").mkdir(parents=True)
    (etc / "profiles" / "team").mkdir(parents=True)
    (etc / "config.toml").write_text("")
    (etc / "profiles" / "team" / "a.json").write_text("{}")
    policy_store.put_in_force(compiled(), tmp_path, policy_sources.snapshot(etc))
    return etc


def _changes(etc: Path) -> list[str]:
    return policy_sources.changes([etc], policies(etc.parent) / "current")


def test_every_changed_source_is_named_and_no_other(etc: Path) -> None:
    (etc / "config.toml").touch()
    (etc / "profiles/.hidden").write_text("")
    (etc / "profiles/team/.git").mkdir()
    (etc / "profiles/team/.git/config.json").write_text("{}")
    (etc / "conf.d/readme").write_text("")
    assert _changes(etc) == []
    (etc / "config.toml").write_text("#")
    (etc / "conf.d" / "x.toml").write_text("")
    (etc / "profiles" / "team" / "a.json").unlink()
    (etc.parent / "seccomp.json").write_text("{}")
    names = (f"{etc.parent}/seccomp.json", "conf.d/x.toml", "config.toml", "profiles/team/a.json")
    assert _changes(etc) == [f"{name} has changed" for name in names]


def test_an_unreadable_source_is_not_an_error(etc: Path) -> None:
    (etc / "config.toml").unlink()
    (etc / "config.toml").symlink_to("nowhere")
    assert _changes(etc) == ["config.toml has changed"]
    (policies(etc.parent) / "current/sources.json").write_text("{")
    assert _changes(etc) == [policy_sources.UNRECORDED]
