"""Servers and language runtimes that must run under the default profile as without it.

Each serves real requests in its own network namespace and ends by itself. `clone3` is the one call
that the profile answers with ENOSYS, on purpose: glibc then starts the thread by clone(2), so every
program with threads is "denied" it and none notices. Safe means: nothing else, and the same output.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from harness.containers.system_bundles import NOBODY
from harness.node.requirements import is_there, requires
from tests.corpus import measure
from tests.corpus.conftest import Ran, run_all, wanted
from tests.corpus.nodes import AUDIT, BARE, ENFORCE_LOG, MODES, OBSERVE, Program, native

if TYPE_CHECKING:
    from tests.corpus.nodes import Node

pytestmark = pytest.mark.timeout(1200)  # the first test waits for all programs to run
SOURCES = Path(__file__).parent / "workloads"
GLIBC_THREADS = "clone3"


class Workload(NamedTuple):
    """A program, its files in /work, and its output on success."""

    name: str
    args: str
    files: str
    prints: str
    needs: str
    denied: str = GLIBC_THREADS
    uid: int = 0
    has_filters: bool = False


WORKLOADS = [
    Workload(
        "redis",
        "sh /work/redis.sh",
        "redis.sh",
        "OK\nvalue\nbenchmarked\nBackground saving started\nended\n",
        "redis-server redis-cli redis-benchmark",
    ),
    Workload(
        "nginx", "sh /work/nginx.sh", "nginx.sh nginx.conf page", "hello\nended\n", "nginx curl"
    ),
    Workload(
        "postgresql",
        "sh /work/postgresql.sh",
        "postgresql.sh",
        "1\nSET\nSET\n100000\nstopped\n",
        "/usr/lib/postgresql",
        uid=NOBODY,  # it refuses root
    ),
    Workload("node", "node /work/node.js", "node.js", "worker 42\nended\n", "node"),
    Workload(
        "cpython",
        "python3 /work/python.py",
        "python.py",
        "threads 45\nprocesses 45\nasyncio 0\nsubprocess 0\nsqlite 42\nhttp 200\n",
        "/usr/bin/python3",
    ),
    Workload(
        "jdk",
        "java -Xmx64m /work/Hello.java",
        "Hello.java",
        "sum 28\nhttp 204\nchild 0\n",
        "java javac",
    ),
    # Go has its own threads, by clone(2).
    Workload("go", "/work/main", "main", "child exit status 0 <nil>\n", "go", denied=""),
    Workload("strace", "strace -f -o /tmp/log sh -c 'true; true'", "", "", "strace", denied=""),
    # Its own filter, beneath ours; the clock is the host's and stays alone.
    Workload(
        "chrony",
        "sh /work/chrony.sh",
        "chrony.sh",
        "ended\n",
        "chronyd chronyc",
        denied="",
        has_filters=True,
    ),
]
INSTALLS = native("seccomp prctl")  # audit logs what installs a filter, though it is allowed


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("go")
    measure.build_go(directory)
    return directory / "main"


@pytest.fixture(scope="module")
def ran(crun: Node, runc: Node, request: pytest.FixtureRequest) -> Ran:
    found = [one for one in wanted(request, "workload") if is_there(*one.needs.split())]
    return run_all((crun, runc), [_program(one, request) for one in found])


def _program(one: Workload, request: pytest.FixtureRequest) -> Program:
    made = {"page": b"hello\n"}
    names = one.files.split()
    if "main" in names:
        made["main"] = request.getfixturevalue("go_program").read_bytes()
    files = {name: made.get(name) or (SOURCES / name).read_bytes() for name in names}
    return Program(one.name, ["sh", "-c", f"exec {one.args}"], files, one.uid)


@pytest.fixture(params=WORKLOADS, ids=lambda workload: workload.name)
def workload(request: pytest.FixtureRequest) -> Workload:
    found: Workload = request.param
    requires(*found.needs.split())
    return found


def test_a_workload_runs_as_if_the_profile_were_not_there(ran: Ran, workload: Workload) -> None:
    found = {where: one for where, one in ran.outcomes.items() if where[2] == workload.name}
    assert {where[1] for where in found} == {BARE, *MODES["crun"]}
    for where, outcome in found.items():
        assert (outcome.status, outcome.output) == (0, workload.prints), where


def test_a_workload_is_denied_nothing_but_the_call_that_glibc_falls_back_from(
    ran: Ran, workload: Workload
) -> None:
    expected = native(workload.denied)
    for kind, mode in (("crun", AUDIT), ("crun", ENFORCE_LOG), ("runc", AUDIT)):
        logged = ran.outcomes[kind, mode, workload.name].calls
        assert (logged - INSTALLS if workload.has_filters else logged) == expected, (kind, mode)
        assert ran.reported(kind, mode, workload.name) == expected, (kind, mode)
    for kind in ("crun", "runc"):
        assert ran.reported(kind, OBSERVE, workload.name) == expected


def test_a_workload_is_reported_safe(ran: Ran, workload: Workload) -> None:
    for kind in ("crun", "runc"):
        for mode in (AUDIT, OBSERVE):
            report = ran.reports[kind][mode, workload.name]
            if mode == AUDIT and workload.has_filters:
                assert "filters of their own" in report["reason"], (kind, report)
            else:
                assert report["verdict"] == "safe", (kind, mode, report["reason"])
