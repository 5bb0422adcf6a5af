"""Qemu's monitor (QMP, one JSON object a line): asks a running machine to write down its memory."""

from __future__ import annotations

import json
import socket
import time
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 120  # seconds for an answer; to write the memory takes some five
UNLIMITED = 1 << 40  # bytes a second: qemu's default is for networks
ENDS = {"completed", "failed", "cancelled"}


class MonitorError(Exception):
    """Qemu refused a command, or the memory was not written; says what it answered."""


def write_memory(monitor: Path, file: Path) -> None:
    """Write the machine's memory and devices to a file, from which qemu's -incoming goes on.

    The machine stands still afterwards, and its disk's layer is complete.
    """
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(PATIENCE)
            line.connect(str(monitor))
            with line.makefile("rw", encoding="utf-8") as stream:
                _ask(stream, "qmp_capabilities")
                _ask(stream, "migrate-set-parameters", **{"max-bandwidth": UNLIMITED})
                _ask(stream, "migrate", uri=f"file:{file}")
                _wait_written(stream)
    except OSError as error:
        raise MonitorError(f"qemu did not write the memory: {error}") from None


def _wait_written(stream: IO[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    found: dict[str, Any] = {}
    while (status := found.get("status")) not in ENDS and time.monotonic() < deadline:
        time.sleep(0.1)
        found = _ask(stream, "query-migrate")
    if status != "completed":
        raise MonitorError(f"qemu did not write the memory: {found}")


def _ask(stream: IO[str], command: str, **arguments: Any) -> dict[str, Any]:
    """Return what a command returned."""
    stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    stream.flush()
    answer = _answer(stream)
    if "return" not in answer:
        raise MonitorError(f"qemu was asked to {command}: {answer.get('error', 'it ended')}")
    return dict(answer["return"])


def _answer(stream: IO[str]) -> dict[str, Any]:
    """Return the next line that is neither a greeting nor an event; {} after qemu's end."""
    answers: Iterator[dict[str, Any]] = map(json.loads, stream)
    return next((one for one in answers if one.keys() & {"return", "error"}), {})
