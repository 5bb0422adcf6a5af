"""Programs under load lose nothing by a filter that they do not need; what they need is denied.

RUNC_WRAP_TEST_RUNS is the number of fresh containers of each program and runtime. If it is not set,
there are ten, of OFTEN: the others' packages are large.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from harness.containers import system_bundles
from harness.host.processes import run
from harness.node.requirements import program, requires
from tests.runtime.conftest import Pair
from tests.runtime.live.conftest import TightenedNode
from tests.runtime.tighten import rounds
from tests.runtime.tighten.group import Group, stood
from tests.runtime.tighten.rounds import MKDIR, RENAME

IS_LONG = "RUNC_WRAP_TEST_RUNS" in os.environ
RUNS = int(os.environ.get("RUNC_WRAP_TEST_RUNS", "10"))
OFTEN = ("redis", "nginx", "forks")
PAUSE = 0.3  # seconds between rounds
AT_ONCE = 5
LONGEST = 600  # seconds of a container, should nobody remove it
SOURCES = Path(__file__).with_name("workloads")
BAD = "File descriptor in bad state"


@dataclass(frozen=True)
class Workload:
    """What a round writes while the `used` calls are allowed, and once they are denied."""

    words: str
    needs: tuple[str, ...]
    used: tuple[str, ...]
    allowed: str
    denied: str
    uid: int = 0


WORKLOADS = {
    "redis": Workload(
        "sh /work/redis.sh",
        ("redis-server", "redis-benchmark"),
        RENAME,
        "0 500 OK",
        "0 500 ERR Error bad state",
    ),
    "nginx": Workload(
        "sh /work/nginx.sh",
        ("nginx", "curl"),
        ("sendfile",),
        "100 hello",
        "100 curl: (18) [alert] sendfile() failed (77: File descriptor in bad state",
    ),
    "forks": Workload(
        "sh /work/forks.sh",
        (),
        MKDIR,
        "20 made",
        f"20 mkdir: cannot create directory '/tmp/made': {BAD}",
    ),
    "postgresql": Workload(
        "sh /work/postgresql.sh",
        ("psql",),
        RENAME,
        "0 400/400 ALTER SYSTEM",
        "0 400/400 ERROR: could not rename file ERROR bad state",
        uid=65534,
    ),
    "node": Workload(
        "node /work/server.js", ("node",), MKDIR, "200 child made", "200 child errno 77"
    ),
    "jdk": Workload(
        "java -Xmx64m -cp /work Server",
        ("java", "javac"),
        MKDIR,
        "100 0 made",
        f"100 0 /tmp/made: {BAD}",
    ),
    "go": Workload(
        "/work/threads", ("go",), MKDIR, "10 made", f"10 mkdir /tmp/made: {BAD.lower()}"
    ),
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, bytes]]:
    """Return what is compiled for a program; Go's own library is, too, which takes a while."""
    made = tmp_path_factory.mktemp("compiled")

    def compile_for(name: str) -> dict[str, bytes]:
        if name == "go" and not (made / "threads").exists():
            go = ["env", f"GOCACHE={made}/cache", "CGO_ENABLED=0", program("go")]
            run([*go, "build", "-o", made / "threads", SOURCES / "threads.go"], seconds=900)
        if name == "jdk" and not (made / "Server.class").exists():
            run([program("javac"), "-d", made, SOURCES / "Server.java"])
        wanted = {"go": "threads", "jdk": "*.class"}.get(name, "")
        return {one.name: one.read_bytes() for one in made.glob(wanted or "no")}

    return compile_for


@pytest.mark.parametrize("name", WORKLOADS if IS_LONG else OFTEN)
def test_a_call_that_it_does_not_use_changes_nothing_and_one_that_it_uses_is_denied(
    pair: Pair,
    name: str,
    tmp_path: Path,
    compiled: Callable[[str], dict[str, bytes]],
    record_property: Callable[[str, object], None],
) -> None:
    workload = WORKLOADS[name]
    requires(*workload.needs, root=True)
    files = {one.name: one.read_bytes() for one in SOURCES.iterdir()} | {"page": b"hello\n"}
    files |= compiled(name)
    node = TightenedNode(pair, tmp_path / "prefix")
    words = ["sh", "-c", f"exec timeout {LONGEST} {workload.words} {PAUSE} >>/out/rounds 2>&1"]
    stops: list[float] = []
    for begun in range(0, RUNS, AT_ONCE):
        places = [tmp_path / str(at) for at in range(begun, min(begun + AT_ONCE, RUNS))]
        make = partial(system_bundles.make, uid=workload.uid, files=files)
        group = Group(node, [make(one, pair.kind, words) for one in places])
        with group.running():
            rounds.denied_while_it_works(
                group.written("rounds"),
                group.deny,
                workload.used,
                workload.allowed,
                workload.denied,
            )
        stops += group.stops
    record_property("stops", stood(stops))
