"""What a report of 5,000 nodes takes: their documents merged, and asked for through kubectl.

Documents are made up (harness.node.node_reports): 200 workloads each, of 2,000 different ones, a
quarter with three calls. For the plugin kubectl is a stand-in, a shell script that prints a file:
the cluster's own time is not in the figure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from harness.host.processes import environment, short_directory
from harness.node import node_reports

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NODES, EACH = 5000, 200
_STAND_IN = """#!/bin/sh
case "$*" in
    *"get nodes"*) exec cat {place}/nodes ;;
    *"get pods"*) exec cat {place}/pods ;;
esac
pod=${{4#pod-}}
exec cat {place}/$((pod % {kinds})).json
"""
_KINDS = 50
_START = "from runc_wrap.cli.{module} import {name}; {name}({words})"


@dataclass(frozen=True)
class Merged:
    """One run: seconds of wall time and of CPU, bytes at most resident, bytes read."""

    seconds: float
    cpu: float
    resident: int
    size: int


def measured() -> dict[str, Merged]:
    """Return what each way to a fleet's report takes."""
    return {"merged from a pipe": merged(), "asked for by the plugin, kubectl simulated": asked()}


def merged() -> Merged:
    """Merge all documents from a pipe into one of JSON."""
    words = _start("main", "main", "['report', '--merge', '--json', '-']")
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as printed:
        begun = time.monotonic()
        process = subprocess.Popen(words, stdin=reading, stdout=printed, env=environment())
        os.close(reading)
        size = 0
        with os.fdopen(writing, "wb") as file:
            for document in node_reports.fleet(NODES, EACH):
                size += file.write(document)
        return _ended(process, begun, size, printed)


def asked() -> Merged:
    """Ask for the same documents through the plugin and a stand-in for kubectl."""
    with short_directory("fleet") as place:
        size = _lay_cluster(place)
        words = _start("kubectl_plugin", "plugin", "['report', '--json']")
        path = {"PATH": f"{place}:{os.environ['PATH']}"}
        with tempfile.TemporaryFile() as printed:
            begun = time.monotonic()
            process = subprocess.Popen(words, stdout=printed, env={**environment(), **path})
            return _ended(process, begun, size, printed)


def _start(module: str, name: str, words: str) -> Sequence[str]:
    return [sys.executable, "-c", _START.format(module=module, name=name, words=words)]


def _ended(process: subprocess.Popen[bytes], begun: float, size: int, printed: IO[bytes]) -> Merged:
    """Wait for the report and check that it has every node."""
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    printed.seek(0)
    if json.loads(printed.read())["nodes"] != NODES:
        sys.exit("bench: not all nodes are in the report")
    return Merged(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, size)


def _lay_cluster(place: Path) -> int:
    """Write the stand-in and its files; return how many bytes all answers have."""
    program = place / "kubectl"
    program.write_text(_STAND_IN.format(place=place, kinds=_KINDS))
    program.chmod(0o755)
    nodes = "".join(f'"n{at}""linux""true""0.2.0""ready""True"\n' for at in range(NODES))
    pods = "".join(f'"n{at}""pod-{at}""Running"\n' for at in range(NODES))
    (place / "nodes").write_text(nodes)
    (place / "pods").write_text(pods)
    sizes = []
    for at, document in enumerate(node_reports.fleet(_KINDS, EACH)):
        (place / f"{at}.json").write_bytes(document)
        sizes.append(len(document))
    return sum(sizes) * NODES // _KINDS
