"""Commands that are not create, on the real runtimes: what they print and do is the runtime's."""

import subprocess
from pathlib import Path

import pytest

from harness.containers.bundles import seccomp_of_exec
from harness.host.processes import environment
from harness.kernel import process_status
from tests.runtime.conftest import Lab, Pair

LIMIT = 57


def _told(runtime: Path | str, *words: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [runtime, *words], capture_output=True, timeout=60, check=False, env=environment()
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", [("features",), ("--version",), ("update", "--help")])
def test_what_engines_ask_a_runtime_is_answered_by_it(pair: Pair, words: tuple[str, ...]) -> None:
    """CRI-O reads both streams of `features` as one JSON document; containerd shows its hints."""
    bare = _told(pair.bare, *words)
    assert bare[1]
    assert _told(pair.wrapped, *words) == bare


def _limit(pid: int) -> str:
    """Return pids.max of a process's cgroup."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    named = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
    hierarchy = "/sys/fs/cgroup/pids" if "pids" in named else "/sys/fs/cgroup"
    return Path(f"{hierarchy}{named.get('pids', named.get(''))}/pids.max").read_text().strip()


def test_update_changes_the_limit_and_not_the_filter(lab: Lab) -> None:
    """Update writes the runtime's state anew, from which exec takes its filter."""
    bundle = lab.bundle()
    pid = bundle.create(lab.wrapped)
    assert _limit(pid) != str(LIMIT)
    updated = bundle.call(lab.wrapped, "update", "--pids-limit", str(LIMIT))
    assert (updated.returncode, _limit(pid)) == (0, str(LIMIT)), updated.stdout
    assert process_status.seccomp(pid) == seccomp_of_exec(bundle, lab.wrapped) == 2
