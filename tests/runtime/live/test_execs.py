"""What a runtime executes in a container while that is tightened has the filter afterwards."""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from harness.host.processes import repeating, wait_until
from runc_wrap.host import runtime_state
from tests.runtime.live.conftest import OVERLAY, LiveNode, answers


def test_no_exec_slips_through(node: LiveNode) -> None:
    bundle = node.started()
    node.configure(OVERLAY)
    statuses: list[int] = []

    def execute() -> None:
        done = bundle.call(node.wrapper, "exec", "--detach", after=("/bin/sleep", "1000"))
        statuses.append(done.returncode)

    with repeating(execute, threads=2):
        while len(statuses) < 4:
            answers(bundle, "yes")
        before = len(statuses)
        # crun's execs lack it
        (found,) = node.tighten("--overlay", "--set-no-new-privs", bundle.name)
        during = len(statuses)
        while len(statuses) < during + 4:
            answers(bundle, "no")
    assert (found["result"], found["reasons"]) == ("tightened", [])
    assert during > before
    assert {*statuses} == {0}
    assert node.disagreeing() == ([], [])


def test_runc_update_writes_back_what_it_read_and_that_is_noticed(node: LiveNode) -> None:
    """Both are run at once, again and again; afterwards `exec` gives the filter in any case."""
    bundle = node.started()
    node.configure(OVERLAY)
    with repeating(lambda: bundle.call(node.bare, "update", "--pids-limit", "500")):
        (found,) = node.tighten("--overlay", bundle.name)
    assert found["result"] == "tightened"
    assert not node.execs(bundle)


@pytest.mark.parametrize("name", ["", "ociruntime"])
def test_an_exec_that_read_the_saved_filter_before_is_waited_for(
    node: LiveNode, tmp_path: Path, name: str
) -> None:
    """It waits for its process' description, which comes through a pipe."""
    runtime, pipe = tmp_path / name, tmp_path / "pipe"
    os.mkfifo(pipe)
    if name:
        shutil.copy(node.bare, runtime)
    used = f'runtime = ["{runtime if name else node.kind}"]\n'
    node.installed.configure(used)
    bundle = node.started()
    node.installed.configure(used + OVERLAY)
    description = {**bundle.read()["process"], "args": ["/bin/sleep", "1000"]}
    words = bundle.argv(node.wrapper, "exec", "--detach", "--process", str(pipe))
    with subprocess.Popen(words, stdin=-3, stdout=-3, stderr=-3) as waiting:
        wait_until(lambda: runtime_state.is_runtime(waiting.pid, name or "runc"), "the runtime")
        given = threading.Timer(3, lambda: pipe.write_text(json.dumps(description)))
        given.start()
        (found,) = node.tighten("--overlay", bundle.name)
        assert not given.is_alive(), "it was not waited for"
    assert (waiting.returncode, found["result"]) == (0, "tightened")
    assert node.disagreeing() == ([], [])
