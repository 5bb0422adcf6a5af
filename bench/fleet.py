"""What a fleet's report takes: 5,000 documents merged, and 1,000 asked for through kubectl.

Documents are made up (harness.node.node_reports): 200 workloads each, of 2,000 different ones, a
quarter with three calls. The cluster is many nodes behind a real kubectl, Debian's. Its API server
is a stand-in, a process of its own, whose CPU is told apart.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from harness.cluster import stand_in_api_server
from harness.host.processes import environment, short_directory
from harness.node import node_reports

NODES, ASKED, EACH = 5000, 1000, 200
KINDS = 50  # of answers: nodes that run the same workloads are alike
_IMAGES = 50  # that a kubelet names in its node's status: nodeStatusMaxImages
# Ends by telling what the process took, and the kubectls that it has waited for
_START = """import atexit, json, sys
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from runc_wrap.cli.{module} import {name}
used = lambda: [getrusage(one)[:3] for one in (RUSAGE_SELF, RUSAGE_CHILDREN)]
atexit.register(lambda: json.dump(used(), sys.stderr))
{name}({words})
"""


class Used(NamedTuple):
    """What processes took: seconds of CPU together, and bytes that the largest one had resident."""

    cpu: float
    resident: int


class Cluster(NamedTuple):
    """`env` leads the plugin there; `answers` are bytes of all nodes' answers together."""

    env: Mapping[str, str]
    answers: int


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
    with short_directory("fleet") as place, served(place, ASKED, EACH) as (cluster, ended):
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


@contextmanager
def served(place: Path, nodes: int, each: int) -> Iterator[tuple[Cluster, list[Used]]]:
    """Serve so many nodes while the body runs; then the list has what the API server took."""
    documents = [one.splitlines()[1] for one in node_reports.fleet(KINDS, each)]
    for at, document in enumerate(documents):
        (place / f"{at}.json").write_bytes(document)
    ended: list[Used] = []
    code = f"from bench import fleet; fleet.serve({str(place)!r}, {nodes})"
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin  # noqa: S101 - both are pipes
        assert process.stdout  # noqa: S101
        try:
            process.stdout.readline()
            size = sum(map(len, documents)) * nodes // KINDS
            yield Cluster(_environment(place), size), ended
        finally:
            process.stdin.close()
            ended.append(waited(process))


def serve(place: str, nodes: int) -> None:
    """Serve until stdin ends."""
    with stand_in_api_server.serving() as cluster:
        answers = [(Path(place) / f"{at}.json").read_bytes() for at in range(KINDS)]
        cluster.answers = {f"n{at}": answers[at % KINDS] for at in range(nodes)}
        conditions = [{"type": f"Type{at}", "status": "True"} for at in range(5)]
        cluster.statuses = {"Node": _node_status(), "Pod": {"conditions": conditions}}
        cluster.kubeconfig(Path(place) / "kubeconfig")
        sys.stdout.write("\n")
        sys.stdout.flush()
        sys.stdin.read()


def waited(process: subprocess.Popen[bytes]) -> Used:
    """Return what a process took, with those that it has waited for, once it ends."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Used(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def _environment(place: Path) -> dict[str, str]:
    found = environment()
    if shutil.which("kubectl", path=found["PATH"]) is None:
        sys.exit("bench: no kubectl (Debian's kubernetes-client)")
    own = {"PYTHONPATH": os.getcwd(), "HOME": str(place)}  # noqa: PTH109
    return {**found, **own, "KUBECONFIG": str(place / "kubeconfig")}


def _node_status() -> dict[str, Any]:
    """Return what makes a node as large as real ones: the images that it has."""
    digest = "sha256:" + "0123456789abcdef" * 4
    names = [f"registry.example/team/service-{at}" for at in range(_IMAGES)]
    each = ([f"{name}@{digest}", f"{name}:1.2.3"] for name in names)
    return {"images": [{"names": both, "sizeBytes": 123456789} for both in each]}
