import select
import time
from pathlib import Path

import pytest

from runc_wrap import time_text
from runc_wrap.evidence.attribution import cgroup_membership, ledger_containers
from runc_wrap.evidence.attribution.ledger_containers import Appended, Known
from runc_wrap.host import runtime_state
from runc_wrap.hotpath.ledger_file import Key
from tests.unit.evidence.samples import line, write_ledger

ID = "a" * 64
POD = "kubepods-besteffort-pod1234.slice"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return write_ledger(tmp_path / "ledger", line(ID), line("my-box"))


def test_a_cgroups_path_has_the_containers_id_in_every_layout() -> None:
    for path in (
        f"/kubepods.slice/{POD}/cri-containerd-{ID}.scope",
        f"/system.slice/docker-{ID}.scope",
        f"/machine.slice/libpod-{ID}.scope/container",
        f"/kubepods.slice/{POD}/crio-{ID}.scope",
        f"/docker/{ID}",
        f"/kubepods/besteffort/pod1234/{ID}",
        f"/../../system.slice/docker-{ID}.scope",
        f"/docker/{ID}/system.slice/nginx.service",
    ):
        assert ID in cgroup_membership.ids(path), path
    assert "my-box" in cgroup_membership.ids("/system.slice/runc-my-box.scope")


def test_a_monitor_a_login_session_and_half_a_name_have_no_id() -> None:
    for path in (
        *("", "/", f"/docker/{ID}x", f"/docker/x{ID}", f"/user.slice/session-{ID}.scope"),
        f"/kubepods.slice/{POD}/crio-conmon-{ID}.scope",
        f"/machine.slice/libpod-conmon-{ID}.scope",
    ):
        assert ID not in cgroup_membership.ids(path), path


def test_the_ledger_is_followed_through_rotation_damage_and_half_a_line(ledger: Path) -> None:
    containers = Known(ledger)
    assert containers.refresh() == []
    with (ledger / "ledger.jsonl").open("a") as file:
        file.write('nonsense\n{"id": 5}\n{"id": "half", "ro')
        file.flush()
        assert containers.refresh() == []
        file.write('ot": "/r"}\n')
    assert containers.refresh() == [("/r", "half")]
    (ledger / "ledger.jsonl").rename(ledger / "ledger.1.jsonl")
    write_ledger(ledger, line("later"))
    assert containers.refresh() == [("/run/test", "later")]
    assert containers.of_id("half") == ("/r", "half")


def test_an_agents_line_that_came_late_does_not_count(ledger: Path) -> None:
    """The launcher had stopped waiting, and the cold path had decided otherwise."""
    containers = Known(write_ledger(ledger, line("c", mode="audit", via="cold", pid=7)))
    write_ledger(ledger, line("c", mode="observe", via="agent", pid=7))
    assert containers.refresh() == []
    assert containers.mode(("/run/test", "c")) == "audit"
    write_ledger(ledger, line("c", mode="observe", via="agent", pid=8))
    assert containers.refresh() == [("/run/test", "c")]
    assert containers.mode(("/run/test", "c")) == "observe"


def test_remembered_containers_are_bounded(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_containers, "MOST", 3)
    write_ledger(ledger, *(line(f"c{number}") for number in range(9)))
    assert [key[1] for key in Known(ledger).newest()] == ["c8", "c7", "c6"]
    write_ledger(ledger, *(line("same", root=f"/r{number}") for number in range(20)), line("last"))
    found = list(Known(ledger).newest())
    assert found[:9] == [("/run/test", "last"), *((f"/r{at}", "same") for at in range(19, 11, -1))]


def test_of_one_id_under_two_roots_the_existing_or_the_bundles_counts(tmp_path: Path) -> None:
    (tmp_path / "one" / "c").mkdir(parents=True)
    roots = [str(tmp_path / "one"), str(tmp_path / "two")]
    lines = (line("c", root=root, bundle=f"{root}/bundle") for root in roots)
    containers = Known(write_ledger(tmp_path / "ledger", *lines))
    assert containers.of_id("c") == (roots[0], "c")
    assert containers.of_id("c", f"{roots[1]}/bundle") == (roots[1], "c")
    assert containers.of_id("c", "/elsewhere") == (roots[0], "c")
    (tmp_path / "two" / "c").mkdir(parents=True)
    assert containers.of_id("c") is None  # both exist: it identifies none
    assert containers.all_of_id("c") == [(root, "c") for root in roots]


def test_a_runtimes_state_is_read_for_a_first_process_for_at_most_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    said: dict[str, tuple[int, int]] = {}

    def first(key: Key) -> tuple[int, int] | None:
        asked.append(key[1])
        return said.get(key[1])

    monkeypatch.setattr(runtime_state, "first_process", first)
    fresh = time_text.rfc3339(time.time())
    containers = Known(write_ledger(tmp_path, line("old"), line("new", time=fresh)))
    assert containers.of_first_process(5, 77) is None
    said["new"] = (5, 77)
    found = [containers.of_first_process(5, 77) for _ in range(3)]
    assert found == [("/run/test", "new")] * 3
    assert containers.of_first_process(6, 78) is None
    assert asked == ["old", "new", "new"]


def test_the_creator_is_the_last_process_that_created_it(tmp_path: Path) -> None:
    write_ledger(tmp_path, line("c", pid=7), line("c", pid=8, time="1970-01-02T00:00:00Z"))
    assert Known(tmp_path).creator(("/run/test", "c")) == (8, 86400.0)
    write_ledger(tmp_path, line("c", pid="8"), line("d", pid=5, time="yesterday"))
    again = Known(tmp_path)
    assert (again.creator(("/run/test", "c")), again.creator(("/run/test", "d"))) == (None, None)


def is_told(one: Appended) -> bool:
    """Return whether an event arrived since the last call."""
    ready = bool(select.select([one], [], [], 0)[0])
    one.take()
    return ready


def append(directory: Path) -> None:
    with (directory / "ledger.jsonl").open("a") as file:
        file.write("{}\n")


def test_an_append_or_a_replacement_is_reported_once_and_a_read_not(tmp_path: Path) -> None:
    append(tmp_path)
    one, ledger = Appended(str(tmp_path)), tmp_path / "ledger.jsonl"
    ledger.read_text()
    assert not is_told(one)
    append(tmp_path)
    assert [is_told(one), is_told(one)] == [True, False]
    ledger.rename(tmp_path / "ledger.2.jsonl")
    assert [is_told(one), is_told(one)] == [True, False]


def test_a_missing_removed_or_renamed_directory_is_created_and_watched(tmp_path: Path) -> None:
    directory = tmp_path / "var" / "ledger"
    one = Appended(str(directory))
    assert directory.stat().st_mode & 0o777 == 0o700  # its owner's only
    directory.rmdir()
    assert is_told(one)
    append(directory)
    assert is_told(one)
    directory.rename(tmp_path / "old")
    assert is_told(one)
    append(directory)
    assert is_told(one)


def test_a_failed_watch_leaves_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("")
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(OSError, match="File exists"):
        Appended(str(tmp_path / "ledger"))
    assert len([*Path("/proc/self/fd").iterdir()]) == before
