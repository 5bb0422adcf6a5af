"""Attribution is proved: what a local user (uid 4242) claims proves nothing.

And no call waits for such a user's unreadable memory, nor for a container's silent file system.
"""

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.attackers import hostile_user as attacker
from harness.attackers.hostile_user import LOGGED
from harness.containers.block_rules import profile, rule
from harness.containers.bundles import Bundle
from harness.host.hung_files import mounted
from harness.host.processes import short_directory, wait_until
from harness.node import agent as agents
from harness.node import install
from harness.node.install import totals
from harness.node.requirements import program as installed
from runc_wrap.agent.observe import container_limits
from runc_wrap.evidence.attribution.process_lifetimes import Family
from runc_wrap.evidence.store.call_counts import EITHER, ELSEWHERE, RUNTIME
from tests.runtime.conftest import BOTH, Lab

KEYCTL, CALLS = 250, 20


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may read."""
    with short_directory("forge", 0o777) as directory:
        yield directory


@pytest.fixture
def forger(place: Path) -> Path:
    return attacker.library(place)


def _counts(node: install.Installed, bundle: Bundle) -> dict[int, int]:
    """Return how often each call of a container was seen."""
    return totals(node.calls(bundle.key), lambda call: call.number)


def _are_strays(node: install.Installed) -> bool:
    """Return whether all of the user's logged calls are unattributed."""
    strays = node.evidence.unattributed
    return {call.number for call in (*strays.calls, *strays.part(ELSEWHERE).calls)} >= LOGGED


def test_a_runtime_with_unreadable_memory_delays_no_observed_container(
    lab: Lab, forger: Path, place: Path
) -> None:
    lab.mode("observe")
    observed = lab.running("short", CALLS, KEYCTL)
    with lab.agent() as agent:
        before = agent.observe  # looked for now: who reads all command lines waits, too
        with attacker.holding_its_lock(forger, lab.bare, place, 12):
            time.sleep(4 * container_limits.WAKE_EVERY)
            assert observed.call(lab.wrapper, "run").returncode == 0
            wait_until(lambda: _counts(lab.node, observed) == {KEYCTL: CALLS}, "all in the store")
            assert agents.is_there(before)
        assert agent.observe == before


@BOTH
def test_a_runtime_that_claims_to_join_a_container_adds_no_evidence(lab: Lab, forger: Path) -> None:
    lab.mode("audit")
    victim = lab.bundle()
    with lab.agent():
        victim.create(lab.wrapper)
        for _ in range(3):
            attacker.joins_in_words(forger, lab.bare, victim.path / "state", victim.name)
        wait_until(lambda: _are_strays(lab.node), "the calls as nobody's")
    assert not LOGGED & _counts(lab.node, victim).keys()


SHAPES = ("{}", "docker-{}.scope", "x/cri-containerd-{}.scope/y", "{}/container")


@pytest.mark.parametrize("hierarchy", attacker.hierarchies(), ids=lambda one: one.name)
def test_a_users_cgroup_with_a_containers_name_is_not_the_containers(
    lab: Lab, hierarchy: Path
) -> None:
    lab.mode("audit")
    victim = lab.bundle()
    with lab.agent(), attacker.delegated(hierarchy) as own, short_directory("f", 0o755) as place:
        program = Path(shutil.copy(lab.built("forger"), place))
        victim.create(lab.wrapper)
        for shape in SHAPES:
            words: list[str | Path] = [program, "calls"]
            assert attacker.inside(own, shape.format(victim.name), words).wait(30) == 0
        wait_until(lambda: _are_strays(lab.node), "the calls as nobody's")
    assert not LOGGED & _counts(lab.node, victim).keys()


RECORD = (
    "type=SECCOMP msg=audit({}.000:{}): auid=4294967295 uid=0 gid=0 ses=4294967295 pid={} "
    'comm="x" exe="/x" sig=0 arch=c000003e syscall=321 compat=0 ip=0x1 code=0x7ffc0000\n'
)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_report_from_logs_does_not_trust_a_cgroups_name_either(
    lab: Lab, tmp_path: Path, place: Path, shape: str
) -> None:
    lab.mode("audit")
    program = Path(shutil.copy(lab.built("forger"), place))
    victim = lab.bundle()
    pid = victim.create(lab.wrapper)
    log = tmp_path / "audit.log"
    hierarchy = next(one for one in attacker.hierarchies() if one.name in ("pids", "cgroup"))
    with attacker.delegated(hierarchy) as own:
        forged = attacker.inside(own, shape.format(victim.name), [program, "stay", "here"])
        try:
            there = Path(f"/proc/{forged.pid}/cgroup")
            wait_until(lambda: victim.name in there.read_text(), "it to be in its cgroup")
            now = int(time.time()) + 1
            log.write_text(RECORD.format(now, 1, forged.pid) + RECORD.format(now, 2, pid))
            (found,) = lab.node.shown("report", "--audit-log", log)
        finally:
            forged.kill()
            forged.wait(30)
    assert [(one["syscall"], one["count"]) for one in found["calls"]] == [("bpf", 1)]


def test_a_process_that_joins_without_us_is_known_by_cgroup_and_namespace(
    lab: Lab,
) -> None:
    """It lives long enough to be read."""
    lab.mode("audit")
    bundle = lab.bundle()
    shutil.copy(lab.built("short"), bundle.path / "rootfs")
    script = f"/bin/sleep 1; /short 3 {KEYCTL}"
    with lab.agent():
        bundle.create(lab.wrapper)
        done = bundle.call(lab.bare, "exec", after=("/bin/sh", "-c", script))
        assert done.returncode == 0, done.stdout
        wait_until(lambda: _counts(lab.node, bundle) == {KEYCTL: 3}, "its calls in the store")


CAPSET, TIMES = 126, 2
PROFILE = profile(rule("ERRNO", "capset", errnoRet=1))


@BOTH
@pytest.mark.parametrize("mode", ["audit", "observe"])
def test_the_runtimes_calls_before_the_program_are_counted_separately(lab: Lab, mode: str) -> None:
    """Both set capabilities under the filter, at create as at exec; so does the program here."""
    lab.own_profile(PROFILE, "capset")
    lab.configure(f'[default]\nmode = "{mode}"\nprofile = "localhost/capset.json"\n')
    calls = f"/short {TIMES} {CAPSET}"
    bundle = lab.running("short")
    bundle.executing("/bin/sh", "-c", f"{calls}; exec /bin/sleep 1000")
    with lab.agent():
        bundle.create(lab.wrapper)
        done = bundle.call(lab.wrapper, "exec", after=tuple(calls.split()))
        assert done.returncode == 0, done.stdout
        wait_until(lambda: _counts(lab.node, bundle).get(CAPSET, 0) >= 2 * TIMES, "the calls")
    seen = lab.node.evidence.containers[bundle.key]
    by_program = {(call.exe, call.number): tally.count for call, tally in seen.calls.items()}
    assert by_program == {("/short", CAPSET): 2 * TIMES}
    apart = {call.number for part in (seen.part(RUNTIME), seen.part(EITHER)) for call in part.calls}
    assert apart == {CAPSET}  # the runtime's, or either's if the agent looked too late
    found = lab.workload(bundle)
    assert [(one["syscall"], one["count"]) for one in found["calls"]] == [("capset", 2 * TIMES)]
    assert {one["syscall"] for one in found["runtime_calls"]} <= {"capset"}


def test_a_users_own_logged_calls_remove_safe_from_no_workload(lab: Lab, place: Path) -> None:
    """Any user may load a logging filter; even a short-lived process is known to be outside."""
    lab.mode("audit")
    shutil.copy(lab.built("forger"), place)
    victim = lab.bundle()
    with lab.agent():
        victim.create(lab.wrapper)
        forging = f"sleep 0.3; for one in $(seq 20); do {place}/forger calls || exit 1; done"
        assert attacker.as_user(["/bin/sh", "-c", forging]).wait(60) == 0
        wait_until(lambda: _are_strays(lab.node), "its calls in the store")
    nobodys = lab.node.evidence.unattributed
    assert {call.number for call in nobodys.part(ELSEWHERE).calls} >= LOGGED
    assert not LOGGED & {call.number for call in nobodys.calls}
    assert "no known container" not in lab.workload(victim)["confidence"]


SHORT = 5.0  # seconds; a look takes some 20 us


def _ends(look: Callable[[], None]) -> bool:
    """Tell whether something ends by itself."""
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(SHORT)
    return not thread.is_alive()


def test_the_agents_look_at_a_process_does_not_wait_for_its_file_system(tmp_path: Path) -> None:
    found: list[float | None] = []
    with mounted(tmp_path, Path(installed("busybox")).read_bytes()) as silence:
        words, path = ["busybox", "sleep", "100"], tmp_path / "program"
        process = subprocess.Popen(words, executable=path)
        silence()

        def ask() -> None:
            with contextlib.suppress(OSError):  # the server has ended
                Path(f"/proc/{process.pid}/exe").stat()

        def look() -> None:
            found.append(Family(process.pid).looked(process.pid))

        waits = not _ends(ask)
        has_looked = _ends(look)
        process.kill()
    process.wait()  # a page of it may have been asked for
    assert waits  # as the agent would
    assert has_looked
    assert found[0]  # and it knows the file all the same
