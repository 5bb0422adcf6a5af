"""observe on real runtimes: exactly what enforce would deny is recorded, and nothing is denied."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.containers import logged_calls
from harness.containers.bundles import Bundle
from harness.host.processes import CommandError, Run, wait_until
from harness.node import agent as agents
from harness.node import install
from harness.node.agent import Agent, Supervised
from harness.node.install import totals
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import builtin
from runc_wrap.profiles.mode_profiles import modes
from tests.runtime.conftest import BOTH, Lab

UNSHARE, CLONE_NEWNS = "x86_64:272:0x20000", 0x20000
MOUNT, CLONE3, KEYCTL, VSOCK = "x86_64:165:0", "x86_64:435:0", "x86_64:250:99", "x86_64:41:40:99:0"
MOUNT_X86, GETPID, PERSONALITY = "x86:21:0", "x86_64:39", "x86_64:135:0x20000"
ODD_PERSONALITY = "x86_64:135:0x40000"
CALLS = (MOUNT, CLONE3, KEYCTL, VSOCK, UNSHARE, MOUNT_X86, GETPID, PERSONALITY, ODD_PERSONALITY)
NOTIFY, LOG = 0x7FC00000, "7ffc0000"
KEYCTL_ARGS = (99, None, None, None, None, None)


def seen(node: install.Installed, bundle: Bundle) -> dict[tuple[str, int], list[Any]]:
    """Return what was sent by a bundle's container: {(arch, number): [args]}."""
    found: dict[tuple[str, int], list[Any]] = {}
    for call in node.calls(bundle.key):
        found.setdefault((f"{call.arch:x}", call.number), []).append(call.args)
    return found


def counted(node: install.Installed) -> tuple[int, int]:
    """Return how many calls were recorded from listeners, and how many were reported lost."""
    found = node.evidence
    each = (*found.containers.values(), found.unattributed)
    counts = [totals(one.calls, lambda call: call.code)[NOTIFY] for one in each]
    return sum(counts), node.lost_by_observe()


def block(mode: str) -> dict[str, Any]:
    compiled = modes.compiled(builtin.load("containerd"), mode, arch="amd64", kernel=(6, 12))
    return resolve(compiled, frozenset())


def in_background(
    bundle: Bundle, runtime: Path, program: Path, *words: str
) -> subprocess.Popen[bytes]:
    before = bundle.running(program, *words).config_now()
    process = started(bundle, runtime)
    if bundle.kind == "runc":
        state = bundle.path / "state" / bundle.name / "state.json"
        wait_until(lambda: state.exists() or process.poll() is not None, "the container", 60)
        told = (bundle.path / "output").read_text()
        if bundle.was_not_sealed(Run((), process.poll() or 0, told), before):
            process = started(bundle, runtime)
    return process


def started(bundle: Bundle, runtime: Path) -> subprocess.Popen[bytes]:
    null = subprocess.DEVNULL
    with (bundle.path / "output").open("w") as output:
        return subprocess.Popen(
            bundle.argv(runtime, "run"), stdin=null, stdout=output, stderr=output
        )


@BOTH
def test_observe_records_what_enforce_denies_and_denies_nothing(lab: Lab, agent: Agent) -> None:
    def call(**linux: Any) -> dict[str, str]:
        return logged_calls.make(lab.bundle(**linux), lab.bare, lab.built("calls"), *CALLS)

    free, enforced = call(), call(seccomp=block("enforce"))
    with logged_calls.audited() as log:
        call(seccomp=block("audit"))
    denied = {logged_calls.number(each) for each in CALLS if enforced[each] != free[each]}
    bundle = lab.bundle()
    assert lab.calls(*CALLS, bundle=bundle) == free
    agents.stop(agent)  # brings all to disk
    found = seen(lab.node, bundle)
    assert logged_calls.number(MOUNT) in denied
    assert denied <= set(found)
    assert logged_calls.number(GETPID) not in found
    assert set(found) == {(arch, number) for arch, number, code in log if code == LOG}
    assert found[logged_calls.number(KEYCTL)] == [KEYCTL_ARGS]
    assert found[logged_calls.number(UNSHARE)][0][0] == CLONE_NEWNS
    assert found[logged_calls.number(VSOCK)][0][:3] == (40, 99, 0)
    assert [args[0] for args in found[logged_calls.number(ODD_PERSONALITY)]] == [0x40000]
    line = lab.node.ledger()[-1]
    assert (line["mode"], line["id"]) == ("observe", bundle.name)


def _listeners(lab: Lab) -> list[Path]:
    return [*(lab.node.prefix / "var/agent/listeners").glob("*.json")]


def _wait_for(node: install.Installed, bundle: Bundle, call: str) -> None:
    wait_until(lambda: logged_calls.number(call) in seen(node, bundle), "the call on disk", 60)


@pytest.mark.usefixtures("agent")
def test_the_flags_of_clone3_show_whether_clone_replaces_it(lab: Lab) -> None:
    plain, user = "clone3:0x4000", "clone3:0x10000000"  # CLONE_VFORK, CLONE_NEWUSER
    made = lab.under(block("enforce"), plain, user)
    assert made == {plain: "returned", user: "errno 1"}
    verdicts = []
    for call in (plain, user):
        bundle = lab.bundle()
        assert lab.calls(call, bundle=bundle) == {call: "returned"}
        _wait_for(lab.node, bundle, CLONE3)
        (args,) = seen(lab.node, bundle)[logged_calls.number(CLONE3)]
        assert args[0] == int(call.removeprefix("clone3:"), 0)
        verdicts.append(lab.workload(bundle)["verdict"])
    assert verdicts == ["safe", "denied"]


def test_without_an_agent_observe_becomes_audit_and_the_ledger_says_why(lab: Lab) -> None:
    bundle = lab.bundle()
    with logged_calls.audited() as log:
        lab.calls(MOUNT, bundle=bundle)
    assert "listenerPath" not in bundle.read()["linux"]["seccomp"]
    assert (*logged_calls.number(MOUNT), LOG) in log
    line = lab.node.ledger()[-1]
    assert line["mode"] == "audit"
    assert line["reason"].endswith("No agent listens, so the mode is audit instead of observe.")


@BOTH
def test_a_bare_runtime_refuses_a_container_whose_agent_is_missing(lab: Lab) -> None:
    listener = modes.AgentListener(str(lab.node.prefix / "var/agent/notify.sock"))
    compiled = modes.compiled(
        builtin.load("containerd"), "observe", arch="amd64", kernel=(6, 12), listener=listener
    )
    bundle = lab.bundle(seccomp=resolve(compiled, frozenset()))
    assert bundle.call(lab.bare, "run").returncode != 0


@BOTH
@pytest.mark.usefixtures("agent")
def test_processes_execd_into_an_observed_container_are_also_observed(lab: Lab) -> None:
    bundle = lab.bundle()
    (bundle.path / "rootfs" / "calls").write_bytes(lab.built("calls").read_bytes())
    (bundle.path / "rootfs" / "calls").chmod(0o755)
    bundle.create(lab.wrapper)
    done = bundle.call(lab.wrapper, "exec", after=("/calls", KEYCTL))
    assert (done.returncode, done.stdout.strip()) == (0, f"{KEYCTL} errno 95")
    _wait_for(lab.node, bundle, KEYCTL)
    listeners = lab.node.prefix / "var/agent/listeners"
    wait_until(lambda: len(list(listeners.iterdir())) == 1, "the end of exec's listener", 60)


OBSERVE = "runc-wrap-observe"


def _kill(agent: Supervised) -> None:
    if pid := agent.observe:
        os.kill(pid, signal.SIGKILL)


def _restart(agent: Supervised) -> None:
    agent.control("restart", OBSERVE)


def _stop_and_start(agent: Supervised) -> None:
    agent.control("stop", OBSERVE)
    time.sleep(0.2)
    agent.control("start", OBSERVE)


def _upgrade(agent: Supervised) -> None:
    """As install.sh does it: another release, then a restart."""
    install.switch_release(agent.prefix)
    agent.control("try-restart", OBSERVE)


STRIKES = [(_kill, 5, False), (_restart, 3, True), (_stop_and_start, 3, True), (_upgrade, 3, True)]


@pytest.mark.parametrize(("strike", "times", "exact"), STRIKES)
def test_killing_or_replacing_the_service_under_load_fails_no_call_and_all_are_counted(
    lab: Lab, strike: Callable[[Supervised], None], times: int, *, exact: bool
) -> None:
    calls, processes = 8_000, 3  # in all more than there may be at once: it takes seconds
    bundle = lab.bundle()
    drawn = random.Random(times)  # noqa: S311 - no secret
    install.lay_out_second(lab.node)
    with agents.supervised(lab.node) as agent:
        running = in_background(
            bundle, lab.wrapper, lab.built("repeat"), str(calls), str(processes)
        )
        wait_until(lambda: any(_listeners(lab)), "a listener")
        for _ in range(times):
            time.sleep(drawn.uniform(0.05, 0.4))
            with contextlib.suppress(ProcessLookupError):
                strike(agent)
        assert running.wait(60) == 0
        told = (bundle.path / "output").read_text().splitlines()
        assert told == [f"{calls} of {calls} failed with 95"] * processes
        made = calls * processes
        with contextlib.suppress(CommandError):
            wait_until(lambda: sum(counted(lab.node)) >= made, "all calls on disk", 20)
    recorded, lost = counted(lab.node)
    if exact:
        assert (recorded, lost) == (made, 0)
    else:  # killed between writing and noting that, it counts what is written as lost, too
        assert recorded <= made <= recorded + lost


def test_without_a_descriptor_store_a_create_gets_audit_and_the_log_says_why(lab: Lab) -> None:
    """The flag is the control."""

    def modes_with(*flags: str) -> list[str]:
        with agents.running(lab.node, flags=flags, without_store=()) as agent:
            lab.calls(MOUNT)
            assert agent.said("a create in observe gets audit instead") == (not flags)
        return [line["mode"] for line in lab.node.ledger()]

    assert modes_with() == ["audit"]
    assert "No agent listens" in lab.node.ledger()[-1]["reason"]
    assert modes_with("--without-descriptor-store") == ["audit", "observe"]


def test_without_a_descriptor_store_an_upgrade_fails_no_call_either(lab: Lab) -> None:
    """The service becomes the new release's by itself, with all descriptors."""
    calls = 25_000
    bundle = lab.bundle()
    install.lay_out_second(lab.node)
    with agents.running(lab.node) as agent:
        running = in_background(bundle, lab.wrapper, lab.built("repeat"), str(calls), "1")
        wait_until(lambda: any(_listeners(lab)), "a listener")
        before = agent.observe
        install.switch_release(lab.node.prefix)
        assert running.wait(60) == 0
        assert (bundle.path / "output").read_text() == f"{calls} of {calls} failed with 95\n"
        wait_until(lambda: sum(counted(lab.node)) >= calls, "all calls on disk", 20)
        assert (agent.observe, agent.said("it takes over")) == (before, 1)
    assert counted(lab.node) == (calls, 0)
