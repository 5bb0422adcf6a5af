"""One container's state: whose word it is, and who its first process was."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from runc_wrap.host import runtime_state
from tests.unit.host.test_containers import crun, runc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("make", [runc, crun])
def test_which_runtime_keeps_a_state_is_told_by_its_file(
    tmp_path: Path, make: Callable[..., Path]
) -> None:
    assert runtime_state.kind(str(make(tmp_path, "a"))) == make.__name__
    assert runtime_state.kind(str(tmp_path)) is None


def test_without_a_root_the_runtimes_defaults_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runtime_state.DEFAULT_ROOTS == ("/run/runc", "/run/crun")
    roots = runtime_state.default_roots(str(tmp_path))
    monkeypatch.setattr(runtime_state, "DEFAULT_ROOTS", roots)
    place = crun(tmp_path / "crun", "a")
    assert runtime_state.directory(("", "a")) == str(place)
    assert runtime_state.directory(("", "b")) is None


@pytest.mark.parametrize("mode", [0o777, 0o702, 0o720])
@pytest.mark.parametrize("where", [".", "c", "c/.."])
def test_a_state_that_others_may_have_written_does_not_count(
    tmp_path: Path, where: str, mode: int
) -> None:
    place = tmp_path / "root" / "c"
    place.mkdir(parents=True)
    (place / "status").write_text(json.dumps({"pid": 5, "process-start-time": 77}))
    key = (str(place.parent), "c")
    assert runtime_state.first_process(key) == (5, 77)
    (place.parent / where).chmod(mode)
    os.chown(place.parent / where, -1, 4242)
    assert runtime_state.first_process(key) is None


def test_a_state_of_another_user_does_not_count(tmp_path: Path) -> None:
    place = tmp_path / "root" / "c"
    place.mkdir(parents=True)
    (place / "status").write_text(json.dumps({"pid": 5, "process-start-time": 77}))
    os.chown(place, 4242, 4242)
    assert runtime_state.first_process((str(place.parent), "c")) is None
    os.chown(place, 0, 0)
    link = tmp_path / "link"
    link.symlink_to(place.parent)
    assert runtime_state.first_process((str(link), "c")) == (5, 77)
    os.chown(place.parent, 4242, 4242)
    assert runtime_state.first_process((str(link), "c")) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "absent"])
def test_an_id_that_is_not_a_directory_name_has_no_state(tmp_path: Path, name: str) -> None:
    assert runtime_state.directory((str(tmp_path), name)) is None


@pytest.mark.parametrize("pid", [0, -1, None, "5", 5.0])
def test_a_state_without_a_process_has_no_first_process(tmp_path: Path, pid: object) -> None:
    crun(tmp_path, "a", pid=pid)
    assert runtime_state.first_process((str(tmp_path), "a")) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_a_damaged_state_has_no_first_process(tmp_path: Path, text: str) -> None:
    (crun(tmp_path, "a") / "status").write_text(text)
    assert runtime_state.first_process((str(tmp_path), "a")) is None


def test_a_state_that_is_a_link_is_refused_although_it_leads_nowhere(tmp_path: Path) -> None:
    place = crun(tmp_path, "a")
    (place / "status").unlink()
    (place / "status").symlink_to(tmp_path / "absent")
    assert runtime_state.kind(str(place)) == "crun"
    with pytest.raises(OSError, match="status"):
        runtime_state.read(str(place))
    assert runtime_state.first_process((str(tmp_path), "a")) is None


def test_a_directory_of_a_state_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(crun(tmp_path / "root", "a"))
    with pytest.raises(OSError, match="link"):
        runtime_state.read(str(tmp_path / "link"))
