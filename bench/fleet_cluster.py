"""The cluster whose report bench.fleet asks for: many nodes behind a real kubectl, Debian's.

The API server is a stand-in, a process of its own, whose CPU is told apart.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from harness.cluster import stand_in_api_server
from harness.host.processes import environment
from harness.node import node_reports

KINDS = 50  # of answers: nodes that run the same workloads are alike
_IMAGES = 50  # that a kubelet names in its node's status: nodeStatusMaxImages
_CODE = "from bench import fleet_cluster; fleet_cluster.{name}"


class Used(NamedTuple):
    """What processes took: seconds of CPU together, and bytes that the largest one had resident."""

    cpu: float
    resident: int


class Cluster(NamedTuple):
    """`env` leads the plugin there; `answers` are bytes of all nodes' answers together."""

    env: Mapping[str, str]
    answers: int


@contextmanager
def served(place: Path, nodes: int, each: int) -> Iterator[tuple[Cluster, list[Used]]]:
    """Serve so many nodes while the body runs; then the list has what the API server took."""
    documents = [one.splitlines()[1] for one in node_reports.fleet(KINDS, each)]
    for at, document in enumerate(documents):
        (place / f"{at}.json").write_bytes(document)
    ended: list[Used] = []
    words = _python(f"serve({str(place)!r}, {nodes})")
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
        cluster.statuses = {"Node": _node_status(), "Pod": _pod_status()}
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


def _python(call: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; {_CODE.format(name=call)}"]


def _node_status() -> dict[str, Any]:
    """Return what makes a node as large as real ones: the images that it has."""
    digest = "sha256:" + "0123456789abcdef" * 4
    names = [f"registry.example/team/service-{at}" for at in range(_IMAGES)]
    images = [
        {"names": [f"{name}@{digest}", f"{name}:1.2.3"], "sizeBytes": 123456789} for name in names
    ]
    return {"images": images}


def _pod_status() -> dict[str, Any]:
    return {"conditions": [{"type": f"Type{at}", "status": "True"} for at in range(5)]}
