"""Every process of a container is tightened or named, and nobody else."""

import os
import subprocess
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from harness.containers.bundles import Bundle
from harness.host.processes import wait_until
from harness.kernel.process_status import status
from harness.node.requirements import program
from runc_wrap.filters.kernel import ptrace
from runc_wrap.filters.kernel.filter_injection import FilterRequest
from runc_wrap.host import procfs
from runc_wrap.host.cgroups import Hierarchies
from runc_wrap.node.container_state.container_processes import Process
from runc_wrap.tighten import container_tightening, process_tightening
from tests.runtime.conftest import Pair
from tests.runtime.tighten.conftest import ERRNO, KEYCTL, Running, denying

WITHOUT_PERMISSION = FilterRequest(denying(KEYCTL))


def test_processes_that_make_others_and_end_all_the_time_cannot_escape(
    start: Callable[..., Running],
) -> None:
    running = start("tightened", "chain", 20_000)
    outcomes = running.tighten()
    assert {one.reason for one in outcomes} == {None}
    assert "keyctl" not in running.out.read_text(), "it was too late to be seen"
    running.wait_for("keyctl", 300)
    assert f"keyctl {ERRNO}\n" in running.out.read_text()


def test_a_filter_that_each_process_of_a_chain_gives_itself_hides_none_without_it(
    start: Callable[..., Running],
) -> None:
    """Each has the filter when it is looked at, but not when it made the next."""
    running = start("tightened", "chain", 1500, KEYCTL, ERRNO)
    assert {one.reason for one in running.tighten()} == {None}
    running.wait_for(f"keyctl {ERRNO}")


def test_programs_with_several_threads_that_start_all_the_time_are_no_reason_to_go_on(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gets the filter again, as nothing else proves that all its threads have it."""
    real = container_tightening.members

    def members(*words: Any) -> list[Process]:
        time.sleep(0.1)  # as where thousands of processes run
        return real(*words)

    monkeypatch.setattr(container_tightening, "members", members)
    running = start("tightened", "starts")
    assert {one.reason for one in running.tighten()} == {None}


def test_what_exec_started_is_tightened_wherever_its_cgroup_is_and_another_container_is_not(
    start: Callable[..., Running], pair: Pair, tmp_path: Path
) -> None:
    running, other = start("tightened", "sits"), start("tightened", "sits")
    for file in (tmp_path / "stays", tmp_path / "leaves"):
        words = ("--detach", "--pid-file", str(file))
        done = running.bundle.call(pair.bare, "exec", *words, after=("/bin/sleep", "100"))
        assert done.returncode == 0, done.stdout
    left = (tmp_path / "leaves").read_text()
    for _, controllers, _ in procfs.cgroups(int(left)) or ():
        if root := Hierarchies().directory(controllers, "/"):
            Path(root, "cgroup.procs").write_text(left)
    outcomes = running.tighten()
    assert [(one.reason, one.after) for one in outcomes] == [(None, (2, 1))] * 3
    running.wait_for(f"keyctl {ERRNO}")
    assert status(other.pid)["Seccomp"] == "0"


def test_no_new_privs_is_set_only_if_asked_for_and_needed(start: Callable[..., Running]) -> None:
    running = start("tightened", "sits")
    (refused,) = running.tighten(WITHOUT_PERMISSION)
    assert "try: --set-no-new-privs" in (refused.reason or "")
    assert refused.before == refused.after == (0, 0)
    assert status(running.pid)["NoNewPrivs"] == "0"
    (one,) = running.tighten()
    assert (one.reason, status(running.pid)["NoNewPrivs"]) == (None, "1")


def test_a_tracer_without_a_processor_while_a_thread_stands_still_is_waited_for(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, the rest of the code would run under the program's own filter, which kills."""
    running = start("tightened", "kills")
    real, calls = ptrace.call, count()

    def call(request: int, *words: object) -> int:
        if request == 24 and next(calls) == 1:  # PTRACE_SYSCALL
            until = time.monotonic() + process_tightening._HELD + 0.5  # noqa: SLF001
            while time.monotonic() < until:
                pass  # as a process that gets none, it is in state R
        return real(request, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(ptrace, "call", call)
    (one,) = running.tighten()
    assert one.reason is None
    running.wait_for(f"keyctl {ERRNO}")


def test_nothing_of_ours_is_left_in_the_process_memory(start: Callable[..., Running]) -> None:
    running = start("tightened", "sits")
    running.wait_for("keyctl")
    before = _maps_and_vdso(running.pid)
    for error in (ERRNO, ERRNO + 1):
        request = FilterRequest(denying(KEYCTL, error), set_no_new_privs=True)
        assert [one.reason for one in running.tighten(request)] == [None]
    assert _maps_and_vdso(running.pid) == before


def _maps_and_vdso(pid: int) -> tuple[list[str], bytes]:
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    (vdso,) = (line for line in maps if line.endswith("[vdso]"))
    start, end = (int(one, 16) for one in vdso.split()[0].split("-"))
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        return maps, os.pread(memory.fileno(), end - start, start)


def test_a_process_in_its_own_user_namespace_needs_no_permission(
    start: Callable[..., Running],
) -> None:
    running = start("tightened", "userns")
    (one,) = running.tighten()
    assert (one.reason, status(running.pid)["NoNewPrivs"]) == (None, "0")
    running.wait_for(f"keyctl {ERRNO}")


def test_a_filter_that_kills_for_what_is_injected_does_not_see_it(
    start: Callable[..., Running],
) -> None:
    running = start("tightened", "kills")
    (one,) = running.tighten()
    assert one.reason is None
    assert (one.before, one.after) == ((2, 4), (2, 5))
    running.wait_for(f"keyctl {ERRNO}")


def test_a_program_whose_calls_become_signals_is_named_and_goes_on(
    start: Callable[..., Running],
) -> None:
    running = start("tightened", "dispatch")
    (one,) = running.tighten()
    assert "Syscall User Dispatch" in (one.reason or "")
    assert (one.after, status(running.pid)["TracerPid"]) == ((0, 0), "0")


def test_a_paused_container_is_named_and_stays_paused(
    start: Callable[..., Running], pair: Pair
) -> None:
    running = start("tightened", "sits")
    assert running.bundle.call(pair.bare, "pause").returncode == 0
    (one,) = running.tighten()
    assert "may be frozen" in (one.reason or "")
    assert running.bundle.call(pair.bare, "resume").returncode == 0
    (one,) = running.tighten()
    assert one.reason is None


def test_a_traced_process_is_named_and_the_others_are_tightened(
    start: Callable[..., Running], pair: Pair
) -> None:
    running = start("tightened", "sits")
    done = running.bundle.call(pair.bare, "exec", "--detach", after=("/bin/sleep", "100"))
    assert done.returncode == 0, done.stdout
    words = [program("strace"), "-qq", "-o", "/dev/null", "-p", str(running.pid)]
    with subprocess.Popen(words) as tracer:
        wait_until(lambda: status(running.pid)["TracerPid"] == str(tracer.pid), "the tracing")
        outcomes = {one.pid: one.reason for one in running.tighten()}
        tracer.terminate()
    assert outcomes.pop(running.pid) == (
        f"the process {running.pid} is already traced, by the process {tracer.pid}"
    )
    assert list(outcomes.values()) == [None]


def test_a_zombie_is_left_out(start: Callable[..., Running], pair: Pair) -> None:
    """It runs nothing, and its parent may never wait for it."""
    running = start("tightened", "sits")
    done = running.bundle.call(pair.bare, "exec", "--detach", after=("/bin/true",))
    assert done.returncode == 0, done.stdout
    assert [one.pid for one in running.tighten()] == [running.pid]


def test_a_process_that_gets_hardly_any_processor_time_is_waited_for(
    pair: Pair, make_bundle: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_tightening, "_HELD", 0.5)
    bundle = make_bundle(pair.kind)
    with bundle.edited() as config:
        config["process"]["args"] = ["/bin/sh", "-c", "while :; do :; done"]
    running = Running(bundle, bundle.create(pair.bare), bundle.path)
    least = ("--cpu-period", "1000000", "--cpu-quota", "1000")
    assert bundle.call(pair.bare, "update", *least).returncode == 0
    try:
        (one,) = running.tighten()
    finally:
        bundle.call(pair.bare, "update", "--cpu-quota", "-1")
    assert one.reason is None
