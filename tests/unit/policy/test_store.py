"""Putting a policy in force: whole or not at all, one after the other."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.hotpath import codec, policy
from runc_wrap.policy import disk, store
from tests.unit.policy.node import PROFILE, compiled

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = compiled()
NEW = compiled({"on_error": "run-unmodified"}, own_profiles={"a": PROFILE})


def _in_force(prefix: Path) -> dict[str, Any]:
    return dict(policy.load(str(prefix)))


def test_the_first_policy_makes_its_directories(tmp_path: Path) -> None:
    store.put_in_force(OLD, tmp_path / "not/yet/var")
    assert _in_force(tmp_path / "not/yet") == OLD.policy


def test_the_runtime_is_a_link_of_its_kind(tmp_path: Path) -> None:
    store.put_in_force(OLD, tmp_path / "var")
    assert (tmp_path / "var/current/runc").readlink() == Path("/usr/sbin/runc")


def test_the_policy_before_stays_for_creates_that_still_read_it(tmp_path: Path) -> None:
    var = tmp_path / "var"
    store.put_in_force(OLD, var)
    first = (var / "current").resolve()
    (var / "compiled/7").mkdir()  # what a crash left
    (var / "compiled/junk").mkdir()
    store.put_in_force(NEW, var)
    assert {path.name for path in (var / "compiled").iterdir()} == {first.name, "8"}
    store.put_in_force(OLD, var)
    assert not first.exists()


def test_rootless_engines_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    (tmp_path / "var/compiled").mkdir(parents=True)
    before = os.umask(0o077)
    try:
        store.put_in_force(NEW, tmp_path / "var")
    finally:
        os.umask(before)
    current = (tmp_path / "var/current").resolve()
    for path in (current, *current.rglob("*.json"), current / "profiles"):
        assert path.stat().st_mode & 0o044 == 0o044


class _Crash(BaseException):
    """Nothing may catch it."""


def _crash_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Callable[[], int]:
    """Make the Nth of all calls that change the disk crash; return how many there were."""
    count = 0

    def crashing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                raise _Crash
            return real(*arguments, **named)

        return call

    for owner, name in (
        *((Path, name) for name in ("mkdir", "chmod", "symlink_to", "open", "unlink", "replace")),
        *((os, name) for name in ("fchmod", "fsync")),
        (codec, "dumps"),
    ):
        monkeypatch.setattr(owner, name, crashing(getattr(owner, name)))
    return lambda: count


def test_a_crash_at_any_step_leaves_the_old_policy_or_the_whole_new_one(tmp_path: Path) -> None:
    number, done = 0, False
    while not done:
        number += 1
        prefix = tmp_path / str(number)
        store.put_in_force(OLD, prefix / "var")
        with pytest.MonkeyPatch.context() as patch:
            count = _crash_at(patch, number)
            with contextlib.suppress(_Crash):
                store.put_in_force(NEW, prefix / "var")
            done = count() < number
        found = _in_force(prefix)
        assert found in (OLD.policy, NEW.policy)
        for name, mode in (NEW if found == NEW.policy else OLD).profiles:
            policy.load_profile(str(prefix), name, mode)
        store.put_in_force(NEW, prefix / "var")  # and the next apply works
        assert _in_force(prefix) == NEW.policy
    assert number > 20


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put_in_force(OLD, tmp_path / "var")
    before = sorted((tmp_path / "var").rglob("*"))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.put_in_force(NEW, tmp_path / "var")
    assert sorted((tmp_path / "var").rglob("*")) == before


def test_two_at_once_end_with_one_of_them_whole(tmp_path: Path) -> None:
    var = tmp_path / "var"
    store.put_in_force(OLD, var)
    failed: list[BaseException] = []

    def put(what: Any) -> None:
        try:
            store.put_in_force(what, var)
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=put, args=(what,)) for what in (OLD, NEW) * 5]
    for thread in threads:
        thread.start()
    seen = [_in_force(tmp_path) for _ in range(200)]
    for thread in threads:
        thread.join()
    assert not failed
    assert all(found in (OLD.policy, NEW.policy) for found in seen)
    assert len(list((var / "compiled").iterdir())) == 2


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    done: list[str] = []

    def second() -> None:
        with disk.locked(tmp_path):
            done.append("second")

    with disk.locked(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.05)
        done.append("first")
    thread.join()
    assert done == ["first", "second"]
