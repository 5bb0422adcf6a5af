"""Reading filters back: it changes no process, its wait is bounded, and a failure is explained."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.host.processes import Daemon, attempt, wait_until
from harness.kernel.process_status import status
from harness.node import install
from harness.node.install import Installed
from harness.node.requirements import requires
from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.kernel import filter_readback, ptrace
from runc_wrap.profiles import actions
from tests.runtime.conftest import Lab
from tests.runtime.verify.test_filters import CRI_DEFAULT, give
from tests.runtime.verify.test_verify import behind_our_back, loosened


@pytest.fixture
def confined(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of this machine under a filter that allows everything."""
    requires(root=True)
    code = (
        "import pyseccomp, time\nf = pyseccomp.SyscallFilter(pyseccomp.ALLOW)\n"
        "f.add_rule(pyseccomp.ERRNO(111), 'mount')\nf.load()\nprint('x', flush=True)\n"
        "f.load()\nprint('y', flush=True)\ntime.sleep(100)\n"
    )
    with Daemon([sys.executable, "-c", code], tmp_path / "confined") as daemon:
        wait_until(lambda: ptrace.status(daemon.pid).count == 2, "two filters")
        yield daemon.process
        daemon.process.kill()  # it may be stopped


def test_every_filter_of_a_process_is_read_and_the_process_continues(
    confined: subprocess.Popen[bytes],
) -> None:
    read = filter_readback.read(confined.pid)
    assert len(read) == 2
    code = bpf.combined([bpf.program(one) for one in read], bpf.SeccompData(0xC000003E, 165))
    assert code == actions.code("SCMP_ACT_ERRNO", 111)
    assert ptrace.status(confined.pid).tracer == 0
    wait_until(lambda: status(confined.pid)["State"].startswith("S"), "the process going on")


WAITING = """
import pyseccomp, select, sys
f = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
if int(sys.argv[1]):
    f.add_rule(pyseccomp.ERRNO(111), "restart_syscall")
f.load()
print("x", flush=True)
try:
    print(select.poll().poll(2_000_000_000))
except OSError as error:
    sys.exit(error.errno)
"""


def waits_in(pid: int, *numbers: str) -> bool:
    """Tell whether it waits in poll, 7, or in what continues it, restart_syscall, 219."""
    return Path(f"/proc/{pid}/syscall").read_text().startswith(numbers)


def suspend_and_continue(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: status(pid)["State"].startswith("T"), "the stop")
    os.kill(pid, signal.SIGCONT)


WAITS = [
    (suspend_and_continue, True, True),  # so it is without us
    (filter_readback.read, True, False),
    (filter_readback.read, False, False),
]


@pytest.mark.parametrize(("stop", "is_denied", "ends"), WAITS)
def test_a_wait_goes_on_although_a_filter_denies_restart_syscall(
    tmp_path: Path, stop: Callable[[int], object], *, is_denied: bool, ends: bool
) -> None:
    requires(root=True)
    words = [sys.executable, "-c", WAITING, str(int(is_denied))]
    with Daemon(words, tmp_path / "waiting") as waiting:
        waiting.wait_ready(lambda: waiting.tail() == "x", "the filter")
        wait_until(lambda: waits_in(waiting.pid, "7 "), "poll")
        stop(waiting.pid)
        if ends:
            assert waiting.process.wait(60) == 111
        else:
            wait_until(lambda: waits_in(waiting.pid, "7 ", "219 "), "the wait")
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.process.wait(0.5)


def test_a_stopped_process_is_read_and_stays_stopped(confined: subprocess.Popen[bytes]) -> None:
    confined.send_signal(signal.SIGSTOP)
    wait_until(lambda: status(confined.pid)["State"].startswith("T"), "the stop")
    assert len(filter_readback.read(confined.pid)) == 2
    wait_until(lambda: status(confined.pid)["State"].startswith("T (stopped)"), "the stop again")


def test_a_signal_sent_during_a_read_still_reaches_the_process(
    confined: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that gets SIGTERM while verify reads it must end by that signal."""
    real = ptrace.call  # between two of its calls the signal comes

    def signalled(request: int, pid: int, *rest: object) -> object:
        found = real(request, pid, *rest)  # type: ignore[arg-type]
        if request == ptrace.SEIZE:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: status(pid)["State"].startswith("t"), "the stop by the signal")
        return found

    monkeypatch.setattr(ptrace, "call", signalled)
    assert len(filter_readback.read(confined.pid)) == 2
    assert confined.wait(30) == -signal.SIGTERM


def test_a_traced_process_is_refused_with_its_tracers_name(
    confined: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    requires("strace")
    words = ["strace", "-o", "/dev/null", "-p", str(confined.pid)]
    with Daemon(words, tmp_path / "tracer") as tracer:
        wait_until(lambda: ptrace.status(confined.pid).tracer == tracer.pid, "strace")
        with pytest.raises(ptrace.FiltersUnreadableError, match=f"process {tracer.pid}"):
            filter_readback.read(confined.pid)


def test_an_ended_process_is_an_error() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(ptrace.FiltersUnreadableError, match="has ended") as caught:
        filter_readback.read(process.pid)
    assert caught.value.errno == errno.ESRCH


def test_without_privileges_reading_is_refused_in_words(
    confined: subprocess.Popen[bytes],
) -> None:
    child = os.fork()
    if child == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            filter_readback.read(confined.pid)
        except ptrace.FiltersUnreadableError as error:
            os._exit(3 if "not permitted" in str(error) else 4)
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_reading_takes_no_longer_than_allowed(confined: subprocess.Popen[bytes]) -> None:
    begun = time.monotonic()
    with pytest.raises(ptrace.FiltersUnreadableError, match="did not stop"):
        filter_readback.read(confined.pid, seconds=-1)
    assert time.monotonic() - begun < 60
    wait_until(lambda: ptrace.status(confined.pid).tracer == 0, "the detaching")
    assert len(filter_readback.read(confined.pid)) == 2


def test_a_paused_container_is_read_or_refused_in_time_and_continues_afterwards(runc: Lab) -> None:
    bundle = runc.bundle()
    pid = bundle.create(runc.wrapped)
    paused = bundle.call(runc.wrapped, "pause")
    assert paused.returncode == 0, paused.stdout
    begun = time.monotonic()
    try:
        assert len(filter_readback.read(pid, seconds=0.3)) == 1  # the freezer of cgroup version 2
    except ptrace.FiltersUnreadableError as error:  # that of version 1
        assert "frozen" in str(error)  # noqa: PT017 (either is right)
    finally:
        assert bundle.call(runc.wrapped, "resume").returncode == 0
    assert time.monotonic() - begun < 60
    wait_until(lambda: status(pid)["State"].startswith("S"), "the process going on")
    assert ptrace.status(pid).tracer == 0
    assert len(filter_readback.read(pid)) == 1


PARENTS, HELD = 30, 3
SECONDS = 20  # one after the other it was 61 s, and for ever with one that is held in execve


@pytest.fixture
def node(runc: Lab, tmp_path: Path) -> Installed:
    return install.copy_of(runc.installed, tmp_path / "prefix")


def states(pid: int) -> list[str]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [status(int(child))["State"][0] for child in children]


def deep(node: Installed) -> tuple[int, Any, str, float]:
    begun = time.monotonic()
    done = node.control("verify", "--deep", "--json", ok=False)
    return done.returncode, json.loads(done.stdout), done.stderr, time.monotonic() - begun


@pytest.mark.parametrize(
    ("parents", "held"), [(PARENTS, 0), (0, HELD), (PARENTS, HELD)], ids=["vfork", "execve", "both"]
)
def test_processes_that_cannot_stop_cost_one_deadline_and_are_reported_unchecked(
    runc: Lab, parents: int, held: int
) -> None:
    bad, good = runc.running("unstoppable", parents, held), runc.bundle()
    pid = bad.create(runc.wrapper)
    good.create(runc.wrapper)
    wait_until(lambda: states(pid).count("D") == parents + held, "all of them waiting")
    code, found, said, seconds = deep(runc.node)
    assert seconds < SECONDS
    assert (code, found["checked"], found["disagreeing"]) == (2, 2, [])
    (one,) = found["unchecked"]
    assert (one["id"], one["processes"]) == (bad.name, parents + held)
    more = parents + held - 3
    assert ("did not stop" in said, f"and {more} more of its" in said) == (True, more > 0)
    wait_until(lambda: status(pid)["TracerPid"] == "0", "the detaching")
    assert states(pid).count("D") == parents + held


def test_a_process_without_its_filter_is_found_beside_them(runc: Lab) -> None:
    """No process can hide behind processes that cannot be traced."""
    pid = behind_our_back(runc, runc.running("unstoppable", PARENTS, 1), loosened)
    wait_until(lambda: states(pid).count("D") == PARENTS + 1, "all of them waiting")
    code, found, _, seconds = deep(runc.node)
    assert seconds < SECONDS
    assert code == 1
    assert pid in [one["pid"] for one in found["disagreeing"]]


ONE_SIGNAL = {"index": 1, "value": 64, "op": "SCMP_CMP_EQ"}


def test_a_container_does_what_its_profile_says_and_one_composed_of_it_what_was_added(
    lab: Lab,
) -> None:
    name = "containerd + @swap - io_setup"
    policy = f'runtime = ["{lab.kind}"]\n[default]\nprofile = "{name}"\n'
    kept = f'runtime = ["{lab.kind}"]\n'
    bundle = lab.bundle()
    give(bundle, CRI_DEFAULT)
    lab.installed.configure(policy)
    try:
        bundle.create(lab.wrapped)
        container = f"container:{bundle.key[1]}"
        same = attempt([lab.installed.ctl, "profile", "diff", container, name])
        assert (same.returncode, same.stdout) == (0, "They do the same for every call.\n"), same
        done = attempt([lab.installed.ctl, "profile", "diff", "containerd", container, "--json"])
        assert done.returncode == 1, done.stderr
        rows = {one["syscall"]: one for one in json.loads(done.stdout)["differences"]}
        assert {"swapon", "swapoff", "io_setup"} <= {*rows}
        assert rows["swapon"]["second"] == "SCMP_ACT_ALLOW"
        assert rows["io_setup"]["second"] == "SCMP_ACT_ERRNO(EPERM)"
    finally:
        lab.installed.configure(kept)


def test_a_container_that_kept_its_profile_has_it_as_written(lab: Lab, tmp_path: Path) -> None:
    """Not as int_arguments has those that runc-wrap gives."""
    bundle, text = lab.bundle(), tmp_path / "own.json"
    rule = {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [ONE_SIGNAL]}
    block = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"]}
    config = bundle.read()
    config["linux"]["seccomp"] = {**block, "syscalls": [rule]}
    bundle.config.write_text(json.dumps(config))
    text.write_text(json.dumps(config["linux"]["seccomp"]))
    bundle.create(lab.wrapped)
    container = f"container:{bundle.key[1]}"
    done = attempt([lab.installed.ctl, "profile", "diff", str(text), container])
    assert (done.returncode, done.stdout) == (0, "They do the same for every call.\n"), done
