"""Servers and language runtimes that must run under the default profile as if it were not there.

Each serves real requests in its own network namespace and ends by itself. `clone3` is the one call
that the profile answers with ENOSYS, on purpose: glibc then starts the thread by clone(2), so every
program with threads is "denied" it and none notices. Safe means: nothing else, and the same output.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.corpus.conftest import AUDIT, BARE, ENFORCE, ENFORCE_LOG, native
from tests.support.processes import environment, run
from tests.support.requirements import program, requires
from tests.support.system import NOBODY

if TYPE_CHECKING:
    from tests.corpus.conftest import Runner

SOURCES = Path(__file__).parent / "workloads"
GLIBC_THREADS = "clone3"


class Workload(NamedTuple):
    """A program, the files it gets in /work, and what it prints when all went well."""

    name: str
    args: str
    files: str
    prints: str
    needs: str
    denied: str = GLIBC_THREADS
    uid: int = 0


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
        "PostgreSQL",
        "sh /work/postgresql.sh",
        "postgresql.sh",
        "1\nSET\nSET\n100000\nwaiting for server to shut down.... done\nserver stopped\n",
        "/usr/lib/postgresql",
        uid=NOBODY,  # it refuses root
    ),
    Workload("Node.js", "node /work/node.js", "node.js", "worker 42\nended\n", "node"),
    Workload(
        "CPython",
        "python3 /work/python.py",
        "python.py",
        "threads 45\nprocesses 45\nasyncio 0\nsubprocess 0\nsqlite 42\nhttp 200\n",
        "/usr/bin/python3",
    ),
    Workload(
        "JDK",
        "java -Xmx64m /work/Hello.java",
        "Hello.java",
        "sum 28\nhttp 204\nchild 0\n",
        "java javac",
    ),
    # Go has its own threads, by clone(2).
    Workload("Go", "/work/main", "main", "child exit status 0 <nil>\n", "go", denied=""),
    Workload("strace", "strace -f -o /tmp/log sh -c 'true; true'", "", "", "strace", denied=""),
    # Its own filter, beneath ours; the clock is the host's and stays alone.
    Workload("chrony", "sh /work/chrony.sh", "chrony.sh", "ended\n", "chronyd chronyc", denied=""),
]


@pytest.fixture(scope="session")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build main.go, its cache in a directory of its own."""
    directory = tmp_path_factory.mktemp("go")
    settings = {"GO111MODULE": "off", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    env = environment(GOCACHE=str(directory / "cache"), GOPATH=str(directory), **settings)
    run([program("go"), "build", "-o", directory / "main", SOURCES / "main.go"], env=env)
    return directory / "main"


@pytest.fixture(params=WORKLOADS, ids=lambda workload: workload.name)
def workload(request: pytest.FixtureRequest) -> Workload:
    found: Workload = request.param
    requires(*found.needs.split())
    return found


@pytest.fixture
def files(workload: Workload, request: pytest.FixtureRequest) -> dict[str, bytes]:
    made = {"page": b"hello\n"}
    if "main" in workload.files.split():
        made["main"] = request.getfixturevalue("go_program").read_bytes()
    names = workload.files.split()
    return {name: made.get(name) or (SOURCES / name).read_bytes() for name in names}


def test_a_workload_runs_as_if_the_profile_were_not_there(
    runner: Runner, workload: Workload, files: dict[str, bytes]
) -> None:
    args = ["sh", "-c", f"exec {workload.args}"]
    found = {
        (kind, mode): runner.run(kind, mode, args, files=files, uid=workload.uid)
        for kind, mode in [
            ("crun", BARE),
            ("crun", AUDIT),
            ("crun", ENFORCE_LOG),
            ("runc", AUDIT),
            ("runc", ENFORCE),
        ]
    }
    for where, outcome in found.items():
        assert (outcome.status, outcome.output) == (0, workload.prints), where
    calls = {where: outcome.calls for where, outcome in found.items()}
    logged = native(workload.denied)
    assert calls == {
        ("crun", BARE): set(),
        ("crun", AUDIT): logged,
        ("crun", ENFORCE_LOG): logged,
        ("runc", AUDIT): logged,
        ("runc", ENFORCE): set(),  # runc 1.1 cannot be told to log what it denies
    }
