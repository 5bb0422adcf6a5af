"""Programs under load get a filter again and again, and lose no request.

RUNC_WRAP_TEST_RUNS is the number of containers of each program and runtime, 1 if it is not set.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.containers import system_bundles
from harness.host.processes import run, wait_until
from harness.node import install
from harness.node.requirements import program, requires
from runc_wrap.host import containers
from runc_wrap.tighten import container
from runc_wrap.tighten.filter_request import FilterRequest
from tests.runtime.tighten.conftest import ERRNO, KEYCTL, denying

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.containers.system_bundles import System
    from runc_wrap.tighten.filter_request import ProcessOutcome
    from tests.runtime.conftest import Pair

RUNS = int(os.environ.get("RUNC_WRAP_TEST_RUNS", "1"))
TIMES = 12  # each is a filter more
SOURCES = install.SOURCE / "tests" / "corpus" / "workloads"
REDIS = """
redis-server --save "" --dir /tmp --io-threads 2 --appendonly yes >/tmp/log &
until redis-cli ping 2>/dev/null | grep -q PONG; do sleep 0.05; done
redis-benchmark -q -n 60000 -c 50 -t set,get,incr >/tmp/result 2>&1 && echo benchmarked
grep -ci error /tmp/result /tmp/log
redis-cli bgsave; redis-cli shutdown; wait && echo ended
"""
POSTGRESQL = (SOURCES / "postgresql.sh").read_text().replace("-t 100 -c 3", "-T 4 -c 8")
NGINX = (
    (SOURCES / "nginx.sh")
    .read_text()
    .replace(
        "curl -s http://127.0.0.1:8080/page\n",
        "for _ in $(seq 200); do curl -sS http://127.0.0.1:8080/page; done | sort | uniq -c\n",
    )
)
WORKLOADS = {
    "redis": (["sh", "-c", REDIS], 0),
    "postgresql": (["sh", "-c", POSTGRESQL], 65534),
    "nginx": (["sh", "-c", NGINX], 0),
    "node": (["sh", "-c", "for _ in $(seq 15); do node /work/node.js; done"], 0),
    "jdk": (["java", "-Xmx64m", "/work/Hello.java"], 0),
    "go": (["/work/threads"], 0),
}


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """200 threads of Go; Go's own library is compiled for it, which takes a while."""
    made = tmp_path_factory.mktemp("go")
    source = Path(__file__).with_name("threads.go")
    environment = ["env", f"GOCACHE={made}", "CGO_ENABLED=0"]
    run([*environment, program("go"), "build", "-o", made / "threads", source], seconds=900)
    return (made / "threads").read_bytes()


@pytest.fixture
def files(name: str, request: pytest.FixtureRequest) -> dict[str, bytes]:
    """What workloads find in /work."""
    requires("go", "java", "node", "nginx", "redis-server", "redis-benchmark", "curl", root=True)
    names = ("nginx.conf", "node.js", "Hello.java")
    found = {one: (SOURCES / one).read_bytes() for one in names} | {"page": b"hello\n"}
    return found | {"threads": request.getfixturevalue("threads")} if name == "go" else found


def tighten_often(bundle: System, is_over: Callable[[], bool]) -> list[ProcessOutcome]:
    """Add TIMES filters that deny a call which nobody makes."""
    root = str(bundle.path / "state")
    wait_until(lambda: bool(containers.find([root]).containers) or is_over(), "the container")
    outcomes: list[ProcessOutcome] = []
    for error in range(TIMES):
        time.sleep(0.2)
        found = containers.find([root]).containers
        if is_over() or not found or found[0].pid is None:
            break
        request = FilterRequest(denying(KEYCTL, ERRNO + error), set_no_new_privs=True)
        outcomes += container.tighten_container(found, 0, request)
    return outcomes


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_request_is_lost(
    pair: Pair,
    name: str,
    tmp_path: Path,
    files: dict[str, bytes],
    record_property: Callable[[str, object], None],
) -> None:
    words, uid = WORKLOADS[name]
    bare, *tightened = (
        system_bundles.make(tmp_path / str(turn), pair.kind, words, uid=uid, files=files)
        for turn in range(1 + RUNS)
    )
    expected = bare.call(pair.bare, "run", seconds=200)
    assert expected.returncode == 0, expected.stdout
    for bundle in tightened:
        with ThreadPoolExecutor(1) as alone:
            begun = alone.submit(bundle.call, pair.bare, "run", seconds=200)
            outcomes = tighten_often(bundle, begun.done)
        found = begun.result()
        assert (found.returncode, found.stdout) == (0, expected.stdout)
        assert {one.reason for one in outcomes} == {None}
        stood = sorted(one.stopped_seconds * 1e3 for one in outcomes)
        stops = f"{len(stood)} stops of {stood[len(stood) // 2]:.2f} ms, at most {stood[-1]:.2f} ms"
        record_property("stops", stops)
