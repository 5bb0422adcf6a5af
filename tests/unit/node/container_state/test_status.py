"""What agrees, as a table; and the join of sources on a small simulated node."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.host import container_discovery, procfs, runtime_state
from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.node.container_state import container_processes, container_status, users_containers
from tests.unit.host.test_container_discovery import runc
from tests.unit.node.container_state.test_container_processes import process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("seccomp", "filters", "needed", "had", "enough"),
    [
        (2, 1, 1, 0, True),
        (2, 2, 1, 0, True),  # a program may confine itself
        (2, 1, 1, 1, False),  # what it has, it inherited
        (2, 2, 1, 1, True),
        (0, 0, 1, 0, False),
        (1, 0, 1, 0, False),
        (2, None, 1, 0, True),  # a kernel that does not count
        (0, None, 1, 0, False),
        (0, 0, 0, 0, True),
        (2, 3, 0, 0, True),
        (0, 0, 0, 2, True),
    ],
)
def test_a_process_needs_its_containers_number_of_filters(
    seccomp: int, filters: int | None, needed: int, had: int, enough: bool
) -> None:
    assert container_processes.is_enough(seccomp, filters, needed, had) is enough


def test_inherited_filters_are_searched_above_the_containers_own_processes() -> None:
    """Four generations, below a runtime that has a filter itself."""
    own = [process(pid, pid - 1, seccomp=2, filters=2) for pid in (11, 12, 13, 14)]
    runtime = process(10, 1, seccomp=2, filters=1)
    running = {one.pid: one for one in (runtime, *own)}
    inside = {one.pid for one in own}
    assert [container_processes.inherited(one, inside, running) for one in own] == [1, 1, 1, 1]
    del running[10]  # it has ended, as runtimes do
    assert [container_processes.inherited(one, inside, running) for one in own] == [0, 0, 0, 0]


def test_the_later_of_two_ledgers_records_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    early, late = (
        ledger_record.of({"id": "a", "action": "inject", "reason": when, "time": when})
        for when in ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    )
    monkeypatch.setattr(users_containers, "record_of", lambda _, one, __: one)
    for order in ([early, late], [late, early], [late, None]):
        assert container_status._record_of(None, order, {}) is late  # type: ignore[arg-type]  # noqa: SLF001
    assert container_status._record_of(None, [None], {}) is None  # type: ignore[arg-type, list-item]  # noqa: SLF001


RECORD = ledger_record.of({"id": "a", "action": "inject"})
ONE = [process(10)]


@pytest.mark.parametrize(
    ("state", "record", "members", "deviating", "expected"),
    [
        (container_discovery.RUNNING, RECORD, ONE, [], True),
        (container_discovery.RUNNING, RECORD, ONE, ONE, False),
        (container_discovery.RUNNING, None, ONE, [], None),
        (container_discovery.STOPPED, RECORD, [], [], None),
        (container_discovery.CREATED, RECORD, ONE, ONE, None),
        (container_discovery.CREATED, RECORD, ONE, [], True),
        (container_discovery.RUNNING, RECORD, [], [], None),
    ],
)
def test_a_container_agrees_if_its_processes_have_their_filters(
    state: str, record: Any, members: Any, deviating: Any, expected: Any
) -> None:
    is_decided = record is not None
    assert container_status.agrees(state, is_decided, members, deviating) is expected


@pytest.fixture
def child() -> Iterator[int]:
    """A process of our own that could be a container's first."""
    with subprocess.Popen(["sleep", "60"]) as started:
        yield started.pid
        started.kill()


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine's own containers and users are ignored."""
    monkeypatch.setattr(runtime_state, "KNOWN_ROOTS", ())
    monkeypatch.setattr(users_containers, "RUN_DIRECTORIES", f"{tmp_path}/user/")
    monkeypatch.setattr(container_status, "_PAUSE", 0)


def line(directory: Path, root: Path | str, name: str, **changes: Any) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    text = {"id": name, "root": str(root), "action": "inject", "filters": 1, **changes}
    with (directory / "ledger.jsonl").open("a") as file:
        file.write(json.dumps(text) + "\n")


def made(tmp_path: Path, child: int, name: str = "a") -> Path:
    runc(
        tmp_path / "root",
        name,
        init_process_pid=child,
        init_process_start=procfs.started(child),
    )
    return tmp_path / "root"


def test_a_process_without_its_filter_deviates(tmp_path: Path, child: int) -> None:
    line(tmp_path / "ledger", made(tmp_path, child), "a", reason="Because.")
    (entry,) = container_status.gather(tmp_path / "ledger").entries
    assert [one.pid for one in entry.deviating] == [child]
    assert (entry.agrees, entry.needed) == (False, 1)
    assert entry.record
    assert entry.record.reason == "Because."


def test_a_container_that_was_left_unchanged_agrees(tmp_path: Path, child: int) -> None:
    line(tmp_path / "ledger", made(tmp_path, child), "a", action="leave", filters=0)
    (entry,) = container_status.gather(tmp_path / "ledger").entries
    assert entry.agrees is True


def test_roots_are_compared_by_their_real_path(tmp_path: Path, child: int) -> None:
    made(tmp_path, child)
    (tmp_path / "link").symlink_to("root")
    line(tmp_path / "ledger", f"{tmp_path}/link/", "a")
    (entry,) = container_status.gather(tmp_path / "ledger").entries
    assert entry.record


def test_without_a_recorded_root_the_runtimes_default_counts(
    tmp_path: Path, child: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = made(tmp_path, child)
    line(tmp_path / "ledger", "", "a")
    monkeypatch.setattr(runtime_state, "KNOWN_ROOTS", (f"{root}"[1:],))
    assert container_status.gather(tmp_path / "ledger").entries[0].record is None
    monkeypatch.setattr(runtime_state, "DEFAULT_ROOTS", (os.path.realpath(root),))
    assert container_status.gather(tmp_path / "ledger").entries[0].record


def test_a_process_confined_at_the_second_check_does_not_deviate(
    tmp_path: Path, child: int
) -> None:
    line(tmp_path / "ledger", made(tmp_path, child), "a")
    (entry,) = container_status.gather(tmp_path / "ledger").entries
    assert entry.agrees is False
    os.kill(child, 9)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    (settled,) = container_status.settled([entry], {})
    assert (settled.deviating, settled.members, settled.agrees) == ([], [], None)


@pytest.mark.parametrize(("name", "is_late"), [("crun", True), ("sleep", False)])
def test_a_process_with_the_runtimes_name_gets_more_time(
    tmp_path: Path, child: int, monkeypatch: pytest.MonkeyPatch, name: str, *, is_late: bool
) -> None:
    line(tmp_path / "ledger", made(tmp_path, child), "a")
    (entry,) = container_status.gather(tmp_path / "ledger").entries
    looks: list[float] = []
    monkeypatch.setattr(time, "sleep", looks.append)
    monkeypatch.setattr(container_status, "_again", lambda one, _: one)
    named = [replace(one, name=name) for one in entry.deviating]
    container_status.settled([replace(entry, deviating=named)], {})
    assert (len(looks) > 10) == is_late
