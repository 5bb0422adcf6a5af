"""What a fleet's report takes: 5,000 documents merged, and 1,000 asked for through kubectl.

Documents are made up (harness.node.node_reports): 200 workloads each, of 2,000 different ones, a
quarter with three calls.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from bench import fleet_cluster
from bench.fleet_cluster import Used
from harness.host.processes import environment, short_directory
from harness.node import node_reports

NODES, ASKED, EACH = 5000, 1000, 200
# Ends by telling what the process took, and the kubectls that it has waited for
_START = """import atexit, json, sys
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from runc_wrap.cli.{module} import {name}
used = lambda: [getrusage(one)[:3] for one in (RUSAGE_SELF, RUSAGE_CHILDREN)]
atexit.register(lambda: json.dump(used(), sys.stderr))
{name}({words})
"""


@dataclass(frozen=True)
class Merged:
    """One run: seconds of wall time and of CPU, bytes at most resident, bytes read.

    It should take less than `bound` seconds. `others` are processes beside it that took CPU, too.
    """

    seconds: float
    cpu: float
    resident: int
    size: int
    others: Mapping[str, Used] = field(default_factory=dict)
    bound: float = 60.0


def measured() -> dict[str, Merged]:
    """Return what each way to a fleet's report takes."""
    return {"5,000 nodes' reports merged": merged(), "1,000 nodes asked by the plugin": asked()}


def merged() -> Merged:
    """Merge all documents from a pipe into one of JSON."""
    words = _start("root_command", "main", "['report', '--merge', '--json', '-']")
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as told:
        begun = time.monotonic()
        process = subprocess.Popen(
            words, stdin=reading, stdout=printed, stderr=told, env=environment()
        )
        os.close(reading)
        size = 0
        with os.fdopen(writing, "wb") as file:
            for document in node_reports.fleet(NODES, EACH):
                size += file.write(document)
        seconds = _ended(process, begun, printed, NODES)
        return Merged(seconds, *_used(told)[0], size)


def asked() -> Merged:
    """Ask for such documents through the plugin and kubectl's exec."""
    with short_directory("fleet") as place, fleet_cluster.served(place, ASKED, EACH) as served:
        cluster, ended = served
        words = _start("kubectl_plugin", "plugin", "['report', '--json']")
        with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as told:
            begun = time.monotonic()
            process = subprocess.Popen(words, stdout=printed, stderr=told, env=cluster.env)
            seconds = _ended(process, begun, printed, ASKED)
            own, kubectl = _used(told)
            others = {"kubectl": kubectl}
    others["the API server's stand-in"] = ended[0]
    return Merged(seconds, *own, cluster.answers, others, bound=120.0)


def _start(module: str, name: str, words: str) -> Sequence[str]:
    return [sys.executable, "-c", _START.format(module=module, name=name, words=words)]


def _ended(process: subprocess.Popen[bytes], begun: float, printed: IO[bytes], nodes: int) -> float:
    """Wait for the report, check that it has every node, and return how long it took."""
    process.wait()
    seconds = time.monotonic() - begun
    printed.seek(0)
    if json.loads(printed.read())["nodes"] != nodes:
        sys.exit("bench: not all nodes are in the report")
    return seconds


def _used(told: IO[bytes]) -> list[Used]:
    """Return what the process said at its end: of itself, and of its kubectls."""
    told.seek(0)
    found = json.loads(told.read().splitlines()[-1])
    return [Used(user + system, resident * 1024) for user, system, resident in found]
