"""Runtimes' states, as runc 1.1.15 and crun 1.21 write them: whose word is it, what does it say."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.host import container_discovery, procfs, runtime_state

PID = os.getpid()


def start() -> int:
    found = procfs.started(PID)
    assert found
    return found


def runc(root: Path, name: str, **changes: Any) -> Path:
    first = {"init_process_pid": PID, "init_process_start": start()}
    more = {"created": "2026-01-01T00:00:00Z", "config": {"labels": ["x=y", "bundle=/b"]}}
    return write(root / name / "state.json", {"id": name, **first, **more, **changes})


def crun(root: Path, name: str, **changes: Any) -> Path:
    state = {"pid": PID, "process-start-time": start(), "bundle": "/b", **changes}
    return write(root / name / "status", state)


def write(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(value))
    return path.parent


@pytest.mark.parametrize("make", [runc, crun])
def test_a_running_container(tmp_path: Path, make: Any) -> None:
    place = make(tmp_path, "a")
    found = container_discovery.find([str(tmp_path)])
    assert found.unreadable == []
    (one,) = found.containers
    assert (one.id, one.kind, one.root) == ("a", make.__name__, str(tmp_path))
    assert (one.state, one.pid, one.bundle) == (container_discovery.RUNNING, PID, "/b")
    assert one.owner == os.getuid()
    os.mkfifo(place / "exec.fifo")
    (one,) = container_discovery.find([str(tmp_path)]).containers
    assert one.state == container_discovery.CREATED


REUSED = [
    *({"init_process_start": 1}, {"init_process_pid": 2**30}, {"init_process_pid": "1"}),
    *({"process-start-time": 1}, {"pid": None}, {"pid": -1}),
]


@pytest.mark.parametrize("changes", REUSED)
def test_a_reused_pid_is_not_the_containers(tmp_path: Path, changes: dict[str, Any]) -> None:
    (runc if "init" in str(changes) else crun)(tmp_path, "a", **changes)
    (one,) = container_discovery.find([str(tmp_path)]).containers
    assert (one.state, one.pid) == (container_discovery.STOPPED, None)


def test_an_invalid_state_is_skipped_or_named(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(runc(tmp_path / "elsewhere", "x"))
    write(tmp_path / "list" / "status", [])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "state.json").write_text("{")
    crun(tmp_path, "good")
    found = container_discovery.find([str(tmp_path)])
    assert [one.id for one in found.containers] == ["good"]
    named = [f"{tmp_path}/broken", f"{tmp_path}/list"]
    assert sorted(line.split(":")[0] for line in found.unreadable) == named


def test_one_root_with_two_names_is_read_once(tmp_path: Path) -> None:
    runc(tmp_path / "real", "a")
    (tmp_path / "link").symlink_to("real")
    roots = [f"{tmp_path}/real", f"{tmp_path}/link", f"{tmp_path}/none", f"{tmp_path}/real/"]
    assert len(container_discovery.find(roots).containers) == 1


def test_the_existing_known_roots_are_found(tmp_path: Path) -> None:
    made = ["run/runc", "run/containerd/runc/k8s.io", "run/docker/runtime-runc/moby"]
    for path in [*made, "run/user/1000/crun", "run/other"]:
        (tmp_path / path).mkdir(parents=True)
    assert set(container_discovery.known_roots(tmp_path)) == {f"{tmp_path}/{path}" for path in made}
    own = container_discovery.known_roots(tmp_path / "run/user/1000", runtime_state.USERS_ROOTS)
    assert [*own] == [f"{tmp_path}/run/user/1000/crun"]


def test_only_a_regular_state_file_of_bounded_size_is_read(tmp_path: Path) -> None:
    runc(tmp_path, "linked")
    whole = (tmp_path / "linked" / "state.json").rename(tmp_path / "whole")
    (tmp_path / "linked" / "state.json").symlink_to(whole)
    for name in ("directory", "fifo", "huge"):
        (tmp_path / name).mkdir()
    (tmp_path / "directory" / "state.json").mkdir()
    os.mkfifo(tmp_path / "fifo" / "state.json")
    (tmp_path / "huge" / "state.json").touch()
    os.truncate(tmp_path / "huge" / "state.json", 1 << 40)
    found = container_discovery.find([str(tmp_path)])
    assert found.containers == []
    assert [line.partition(": ")[2] for line in found.unreadable] == [
        "state.json is not a regular file",
        "state.json is not a regular file",
        f"state.json is larger than {16 << 20} bytes, the most that is read",
        "Too many levels of symbolic links",
    ]


def test_states_beyond_the_bounds_are_counted_and_not_read(tmp_path: Path) -> None:
    for name in "abc":
        runc(tmp_path, name)
    bounds = container_discovery.Bounds(2, 100, 1 << 20)
    found = container_discovery.find([str(tmp_path)], (), bounds)
    assert ([one.id for one in found.containers], found.more) == (["a", "b"], 1)


def test_everything_beneath_a_users_directory_is_that_users(tmp_path: Path) -> None:
    runc(tmp_path / "home" / "root", "a")
    (one,) = container_discovery.find([str(tmp_path / "home" / "root")], {os.getuid()}).containers
    assert one.owner == os.getuid()
    if os.getuid():
        return
    os.chown(tmp_path / "home", 4242, -1)
    (one,) = container_discovery.find([str(tmp_path / "home" / "root")], {0}).containers
    assert one.owner == 4242


@pytest.mark.parametrize("mode", [0o777, 0o702, 0o720])
@pytest.mark.parametrize("where", [".", "c", "c/.."])
def test_a_state_that_others_may_have_written_does_not_count(
    tmp_path: Path, where: str, mode: int
) -> None:
    place = crun(tmp_path / "root", "c", pid=5, **{"process-start-time": 77})
    key = (str(place.parent), "c")
    assert runtime_state.first_process(key) == (5, 77)
    (place.parent / where).chmod(mode)
    os.chown(place.parent / where, -1, 4242)
    assert runtime_state.first_process(key) is None


def test_a_state_of_another_user_does_not_count(tmp_path: Path) -> None:
    place = crun(tmp_path / "root", "c", pid=5, **{"process-start-time": 77})
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


STATE = '{"pid": %s, "process-start-time": 7}'


@pytest.mark.parametrize("text", ["", "{", "[]", "7", *'0 -1 null "5" 5.0'.split()])
def test_a_damaged_state_and_one_without_a_process_have_no_first(tmp_path: Path, text: str) -> None:
    (crun(tmp_path, "a") / "status").write_text(text if text in "{[]7" else STATE % text)
    assert runtime_state.first_process((str(tmp_path), "a")) is None


def test_a_state_or_a_containers_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(crun(tmp_path / "root", "a"))
    place = crun(tmp_path, "a")
    (place / "status").unlink()
    (place / "status").symlink_to(tmp_path / "absent")
    assert runtime_state.kind(str(place)) == "crun"
    for one, named in ((place, "status"), (tmp_path / "link", "link")):
        with pytest.raises(OSError, match=named):
            runtime_state.read(str(one))
