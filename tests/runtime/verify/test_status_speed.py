"""A thousand containers in under two seconds, with a full ledger: real processes, runc's states.

The test uses CPU time, which is what a command takes on an idle machine, and the best of three
runs, because other load only adds time.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.node.install import Installed
from runc_wrap.host.procfs import started
from tests.runtime.conftest import Lab

CONTAINERS = 1000
SECONDS, ROUNDS = 2.0, 3
LEDGER = 16 * 1024 * 1024  # bytes, where it rotates
FORKS = """
import os, signal, sys
pids = []
for _ in range(int(sys.argv[1])):
    pid = os.fork()
    if not pid:
        signal.pause()
    pids.append(pid)
print(*pids, flush=True)
sys.stdin.read()
for pid in pids:
    os.kill(pid, signal.SIGKILL)
"""


@pytest.fixture
def pids() -> Iterator[list[int]]:
    """A thousand processes, which end when their parent's stdin is closed."""
    words = [sys.executable, "-S", "-c", FORKS, str(CONTAINERS)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdout
        assert parent.stdin
        yield [int(word) for word in parent.stdout.readline().split()]
        parent.stdin.close()
        assert parent.wait(30) == signal.SIG_DFL


def test_status_is_fast_with_a_thousand_containers(
    runc: Lab, pids: list[int], tmp_path: Path
) -> None:
    model = runc.bundle()
    model.create(runc.wrapped)  # its state has the whole profile in it
    state = json.loads((model.path / "state" / model.name / "state.json").read_text())
    prepare(runc.node, tmp_path / "root", state, pids)
    for command in ("status", "verify"):
        taken: list[float] = []
        while len(taken) < ROUNDS and min(taken, default=SECONDS) >= SECONDS:
            begun = _used()
            done = runc.node.control(command, "--json")
            taken.append(_used() - begun)
            shown = json.loads(done.stdout)
            count = shown["checked"] if isinstance(shown, dict) else len(shown)
            assert count >= CONTAINERS
        assert min(taken) < SECONDS, f"{command} took {taken} s"


def _used() -> float:
    """Return the CPU seconds of our ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def prepare(installed: Installed, root: Path, state: dict[str, object], pids: list[int]) -> None:
    """Make a state directory for each process, and a ledger of the maximum size."""
    lines = []
    for number, pid in enumerate(pids):
        own = {"init_process_pid": pid, "init_process_start": started(pid)}
        place = root / f"{number:064x}"
        place.mkdir(parents=True)
        (place / "state.json").write_text(json.dumps({**state, **own, "id": place.name}))
        line = {"id": place.name, "root": str(root), "action": "leave", "filters": 0}
        lines.append(json.dumps({**line, "reason": "x" * 300}) + "\n")
    text = "".join(lines)
    directory = installed.prefix / "var" / "ledger"
    directory.mkdir(exist_ok=True)
    (directory / "ledger.jsonl").write_text(text * (LEDGER // len(text)))
    os.sync()
