"""Work that waits for a disk, in a separate thread that reports its end."""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent.record.disk_thread import Disk

if TYPE_CHECKING:
    from pathlib import Path


def _is_told(disk: Disk, seconds: float) -> bool:
    return bool(select.select([disk.fd], [], [], seconds)[0])


def test_the_caller_continues_while_the_work_runs(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    disk = Disk()

    def work() -> list[tuple[float, str]]:
        os.close(os.open(pipe, os.O_WRONLY))  # until there is a reader
        return [(1.0, "gone")]

    disk.begin(work)
    assert disk.is_busy
    assert not _is_told(disk, 0)
    os.close(os.open(pipe, os.O_RDONLY))
    assert _is_told(disk, 60)
    assert disk.ended() == [(1.0, "gone")]
    assert [disk.is_busy, _is_told(disk, 0)] == [False, False]


def test_an_error_is_raised_where_the_result_is_fetched() -> None:
    disk = Disk()

    def work() -> list[tuple[float, str]]:
        raise OSError(errno.ENOSPC, "full")

    for _ in range(2):
        disk.begin(work)
        with pytest.raises(OSError, match="full"):
            disk.ended()


def test_the_work_is_done_at_once_if_no_thread_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refused)
    disk = Disk()
    disk.begin(lambda: [(2.0, "b")])
    assert _is_told(disk, 0)
    assert disk.ended() == [(2.0, "b")]
