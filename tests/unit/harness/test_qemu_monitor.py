"""tests/vm/monitor.py, with a stand-in that answers as qemu's monitor does."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from harness.host.processes import short_directory
from tests.vm.monitor import MonitorError, write_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GREETING: dict[str, Any] = {"QMP": {"version": {}, "capabilities": []}}
EVENT = {"event": "STOP", "timestamp": {"seconds": 0, "microseconds": 0}}
OK: dict[str, Any] = {"return": {}}
WRITTEN = [OK, OK, OK, {"return": {"status": "active"}}, {"return": {"status": "completed"}}]


@contextmanager
def _qemu(answers: list[dict[str, Any]]) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """Yield its socket, and what it was asked so far."""
    asked: list[dict[str, Any]] = []
    with short_directory("qmp") as place, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "qmp"))
        listening.listen()

        def answer() -> None:
            line, _ = listening.accept()
            with line, line.makefile("rw", encoding="utf-8") as stream:
                stream.write(json.dumps(GREETING) + "\n")
                for one in answers:
                    asked.append(json.loads(stream.readline()))
                    stream.write(f"{json.dumps(EVENT)}\n{json.dumps(one)}\n")
                    stream.flush()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield place / "qmp", asked
        finally:
            thread.join(20)


def test_the_memory_is_written_as_fast_as_can_be_and_its_end_awaited(tmp_path: Path) -> None:
    with _qemu(WRITTEN) as (monitor, asked):
        write_memory(monitor, tmp_path / "memory")
    commands = [one["execute"] for one in asked]
    assert commands[:3] == ["qmp_capabilities", "migrate-set-parameters", "migrate"]
    assert commands[3:] == ["query-migrate"] * 2
    assert asked[2]["arguments"] == {"uri": f"file:{tmp_path}/memory"}


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (
            [OK, OK, {"error": {"desc": "No space left on device"}}],
            "asked to migrate: .*No space left",
        ),
        ([OK, OK, OK, {"return": {"status": "failed"}}], "did not write the memory: .*failed"),
        ([OK, OK], "asked to migrate: it ended|did not write the memory: "),
    ],
)
def test_what_qemu_does_not_do_is_an_error_that_tells_it(
    tmp_path: Path, answers: list[dict[str, Any]], told: str
) -> None:
    with _qemu(answers) as (monitor, _), pytest.raises(MonitorError, match=told):
        write_memory(monitor, tmp_path / "memory")
