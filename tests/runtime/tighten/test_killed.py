"""A tightening that is killed before any of its ptrace calls leaves all threads going on as before.

RUNC_WRAP_TEST_KILLS is how many of them are tried, 10 if it is not set.
"""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from harness.host.processes import wait_until
from harness.node.requirements import requires
from runc_wrap.host import procfs
from tests.runtime.tighten.conftest import ERRNO, RETURNED, calls, tightened

SECONDS = (4, 16, 64)  # of each call
TRIED = int(os.environ.get("RUNC_WRAP_TEST_KILLS", "10"))
THREADS = 26
CALLS = 80  # of ptrace, at least, to one of the threads
# signal(7): these return EINTR after any stop; a killed tracer may not have come to mend that.
NOT_RESTARTED = {"epoll_wait", "epoll_pwait", "recv_timed", "sigtimedwait", "semtimedop", "inotify"}
DRIVER = """
import os, random, signal, sys
from runc_wrap.filters.kernel import ptrace
from runc_wrap.tighten import process_tightening
from tests.runtime.tighten.conftest import tightened

pid, left, who = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
real = ptrace.call

def counted(*words):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid() if who == "tracer" else os.getppid(), signal.SIGKILL)
    return real(*words)

ptrace.call = counted
process_tightening._soonest = lambda threads: random.sample([*threads], len(threads))
print([one.reason for one in tightened(pid)])
"""


@pytest.mark.parametrize("who", ["tracer", "command"])
def test_a_killed_tightening_disturbs_no_call_and_can_be_run_again(
    who: str, tmp_path: Path, built: Callable[[str], Path]
) -> None:
    requires(root=True)
    program = built("waiting")
    steps = random.sample([*range(CALLS)] * (TRIED // CALLS + 1), TRIED)
    with ThreadPoolExecutor(5) as several:
        places = [tmp_path / str(at) for at in range(TRIED)]
        wrong = [*several.map(lambda place, at: killed(place, program, who, at + 1), places, steps)]
    assert [(step, one) for step, one in zip(steps, wrong, strict=True) if one] == []


def test_a_tracer_whose_thread_does_not_stop_ends_with_its_command(
    built: Callable[[str], Path],
) -> None:
    requires(root=True)
    with subprocess.Popen([built("unstoppable"), "1"], start_new_session=True) as first:
        children = Path(f"/proc/{first.pid}/task/{first.pid}/children")
        try:
            wait_until(lambda: bool(children.read_text()), "the parent of a child by vfork")
            pid = int(children.read_text())
            words = [sys.executable, "-c", DRIVER, str(pid), "-1", "nobody"]
            with subprocess.Popen(words) as command:
                wait_until(lambda: bool(traced(pid)), "the tracer")
                command.kill()
            wait_until(lambda: not traced(pid), "its end", 10)
        finally:
            os.killpg(first.pid, signal.SIGKILL)


def killed(place: Path, program: Path, who: str, step: int) -> list[str]:
    """Kill before one ptrace call; return what was not as in a process that nobody disturbed.

    On a busy machine the calls may end before that: then they get more time.
    """
    place.mkdir()
    for seconds in SECONDS:
        out, undisturbed = (place / f"{name}{seconds}" for name in ("out", "undisturbed"))
        words = [str(seconds), "vfork", "waitpid"]
        begun = time.monotonic()
        with (
            subprocess.Popen([program, undisturbed, *words, "registers"]),  # which never sleeps
            subprocess.Popen([program, out, *words]) as waiting,
        ):
            wait_until(partial(all_wait, out), "all of them waiting")
            wrong = killed_once(waiting.pid, who, step)
            is_seen = time.monotonic() - begun < seconds
        if is_seen:
            break
    wrong += [] if waiting.returncode == 0 else [f"ended with {waiting.returncode}"]
    found = calls(out.read_text())
    latest = max(late for _, late, _ in calls(undisturbed.read_text()).values()) + 1500
    wrong += [] if len(found) == THREADS else [f"{len(found)} calls"]
    for name, (returned, late, error) in found.items():
        is_ended = name in NOT_RESTARTED and returned == (-1, 4)  # then it may go on without it
        is_early = returned != (-1, 4) and late < seconds * 1000 - 300
        errors = {ERRNO, errno.EOPNOTSUPP} if is_ended else {ERRNO}  # keyctl's own is the latter
        is_right = error in errors and (is_ended or returned == RETURNED.get(name, (0, 0)))
        if not is_right or is_early or late > latest:
            wrong.append(f"{name} {returned} {late} {error}")
    return wrong


def all_wait(out: Path) -> bool:
    return out.exists() and "all wait" in out.read_text()


def killed_once(pid: int, who: str, step: int) -> list[str]:
    """Kill before one ptrace call, tighten once more; return what was wrong."""
    words = [sys.executable, "-c", DRIVER, str(pid), str(step), who]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    wait_until(lambda: not traced(pid), "the tracer's end")
    again = tightened(pid)
    is_right = done.returncode == (-9 if who == "command" else 0)
    return [str(one.reason) for one in again if one.reason] + (
        [] if is_right else [done.stdout + done.stderr]
    )


def traced(pid: int) -> list[str]:
    """Return the threads of a process that are traced."""
    read = {one: procfs.read(f"/proc/{one}/status") or b"" for one in procfs.threads(pid)}
    return [one for one, text in read.items() if text and b"TracerPid:\t0\n" not in text]
