"""What a hostile container, or a busy node, can make of `tighten`: nothing untrue is said."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from harness.host.processes import wait_until
from harness.kernel.process_status import status
from harness.node.requirements import program
from runc_wrap.host import procfs
from tests.runtime.live.conftest import OVERLAY, answers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from tests.runtime.live.conftest import TightenedNode

OFF, DENY_KEYCTL = '[default]\nmode = "off"\n', '[overlay]\ndeny = ["keyctl"]\n'


def test_who_only_looks_like_an_exec_of_the_container_is_not_waited_for(
    node: TightenedNode, started: Callable[..., Bundle], built: Callable[[str], Path]
) -> None:
    bundle = started()
    shutil.copy(built("tightened"), bundle.path / "rootfs" / "runc")
    words = ("/runc", "/out", "sits", "exec", bundle.name)
    done = bundle.call(node.wrapper, "exec", "--detach", after=words)
    assert done.returncode == 0, done.stdout
    node.configure(OVERLAY)
    (found,) = node.tighten("--overlay", "--set-no-new-privs", bundle.name)
    assert (found["result"], found["reasons"]) == ("tightened", [])


def test_a_process_of_which_one_thread_lacks_the_filter_has_it_not(
    node: TightenedNode, make_bundle: Callable[..., Bundle], built: Callable[[str], Path]
) -> None:
    node.configure(OFF)
    bundle = make_bundle(node.kind).running(built("tightened"), "/out", "diverged")
    pid = bundle.create(node.wrapper)
    out = bundle.path / "rootfs" / "out"
    wait_until(lambda: out.exists() and "begun" in out.read_text(), "its second thread")
    node.configure(OFF + DENY_KEYCTL)
    tid = procfs.threads(pid)[-1].rpartition("/")[2]
    words = [program("strace"), "-qq", "-o", "/dev/null", "-p", tid]
    with subprocess.Popen(words) as tracer:
        wait_until(lambda: status(int(tid))["TracerPid"] == str(tracer.pid), "the tracing")
        (found,) = node.tighten("--overlay", bundle.name, status=1)
        tracer.terminate()
    assert "already traced" in found["reasons"][0]
    counts = [status(pid)["Seccomp_filters"], status(int(tid))["Seccomp_filters"]]
    assert counts == ["1", "1"]
    assert len(node.disagreeing()[0]) == 1
    (found,) = node.tighten("--overlay", bundle.name)
    assert (found["result"], status(int(tid))["Seccomp_filters"]) == ("tightened", "2")
    assert node.disagreeing() == ([], [])


def test_a_container_that_is_started_again_while_it_is_asked_is_not_called_tightened(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    bundle = started()
    node.configure(OVERLAY)
    ours, theirs = pty.openpty()
    words: list[Path | str] = [node.installed.ctl, "tighten", "--overlay", bundle.name]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs) as tighten:
        os.close(theirs)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(ours, 4096)
        bundle.delete(node.wrapper)
        node.start(bundle, node.bare)
        os.write(ours, b"y\n")
        with suppress(OSError):  # EIO: nobody has it open any more
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    assert b"would lose" in shown
    assert (tighten.returncode, b"run this again" in shown) == (1, True), shown
    assert answers(bundle, "yes")
    assert node.execs(bundle)
