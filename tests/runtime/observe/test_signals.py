"""Signals while a call waits for an answer: the effect of the flag WAIT_KILLABLE_RECV."""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

from harness.containers.bundles import Bundle
from harness.host.processes import installed_version, short_directory, wait_until
from runc_wrap.agent.observe import seccomp_unotify
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.node import seccomp_features
from runc_wrap.node.installed_programs import InstalledRuntime
from runc_wrap.profiles import builtin, platform
from runc_wrap.profiles.mode_profiles import modes
from tests.runtime.conftest import BOTH, Lab, Pair

CALLS, MICROSECONDS = "200", "1000"
INTERRUPTED = re.compile(r"(\d+) of \d+ interrupted, (\d+) signals")


def _takes_the_flag(pair: Pair) -> bool:
    runtime = InstalledRuntime(Path(pair.bare), pair.kind, installed_version(pair.kind))
    return modes.KILLABLE_FLAG in seccomp_features.of(runtime).flags


def _block(path: Path, *, killable: bool) -> dict[str, object]:
    listener = modes.AgentListener(str(path), killable)
    profile = builtin.load("containerd")
    made = modes.compiled(
        profile, "observe", arch=platform.goarch(), kernel=platform.kernel(), listener=listener
    )
    return resolve(made, frozenset())


def _waits_killable(pid: int) -> bool:
    """Return whether the timer's signal is pending for a process that waits for something else."""
    said = Path(f"/proc/{pid}/status").read_text()
    (pending,) = re.findall(r"^ShdPnd:\s*(\w+)", said, re.MULTILINE)
    is_signalled = int(pending, 16) >> (signal.SIGALRM - 1) & 1
    return bool(is_signalled) and "State:\tD" in said


def _waits_out_signals(bundle: Bundle, runtime: str, door: Path) -> bool:
    """Return whether a received call still waits after a signal."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(door))
        listening.listen()
        listening.settimeout(60)
        words = bundle.argv(runtime, "run")
        null = subprocess.DEVNULL
        running = subprocess.Popen(words, stdin=null, stdout=null, stderr=null)
        with listening.accept()[0] as arrived:
            _, (listener, *_), _, _ = socket.recv_fds(arrived, 65536, 1)
        call = None
        while call is None:  # one that a signal has ended before it was received
            call = seccomp_unotify.Inflight.new().receive(listener, 1)
        tid, known = call.tid, call.id
        wait_until(
            lambda: _waits_killable(tid) or not seccomp_unotify.is_valid(listener, known),
            "a signal",
        )
        still = seccomp_unotify.is_valid(listener, known)
        os.close(listener)
        running.kill()
        bundle.delete(runtime)  # what waits can be killed
        running.wait(60)
        return still


@BOTH
def test_a_received_call_is_not_interrupted_if_the_runtime_supports_the_flag(lab: Lab) -> None:
    """If runtimes dropped the flag for a listener, its presence in a config would mean nothing."""
    with short_directory("signals") as place:
        for killable in (False, True) if _takes_the_flag(lab.pair) else (False,):
            door = place / f"{killable}.sock"
            bundle = lab.bundle(seccomp=_block(door, killable=killable))
            found = _waits_out_signals(
                bundle.running(lab.built("interrupted"), CALLS, MICROSECONDS), lab.bare, door
            )
            assert found is killable
        if not _takes_the_flag(lab.pair):
            bundle = lab.bundle(seccomp=_block(place / "no.sock", killable=True))
            assert bundle.call(lab.bare, "run").returncode != 0


@BOTH
def test_observe_sets_the_flag_where_supported_and_loses_no_call(lab: Lab) -> None:
    assert ("SA_RESTART" in lab.node.control("apply").stdout) is not _takes_the_flag(lab.pair)
    with lab.agent():
        bundle = lab.running("interrupted", CALLS, MICROSECONDS)
        done = bundle.call(lab.wrapper, "run")
    flags = bundle.read()["linux"]["seccomp"].get("flags", [])
    assert (modes.KILLABLE_FLAG in flags) is _takes_the_flag(lab.pair)
    found = INTERRUPTED.search(done.stdout)
    assert found, done.stdout
    assert int(found[1]) <= int(found[2])  # a signal ends one call, at most
