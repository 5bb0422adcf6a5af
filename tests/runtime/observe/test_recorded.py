"""What is recorded, on real runtimes and of a command: what is denied stays denied."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.containers import logged_calls
from harness.containers.bundles import Bundle
from harness.host.processes import attempt, wait_until
from harness.node import agent as agents
from harness.node.agent import Agent
from harness.node.install import Installed
from harness.node.requirements import requires
from runc_wrap.evidence.sightings import RECORDED
from runc_wrap.profiles.return_codes import USER_NOTIF
from tests.runtime.conftest import BOTH, Lab
from tests.runtime.observe.test_calls import CALLS, GETPID, MOUNT, PERSONALITY, VSOCK, block, seen

INET, PERSONALITY_8 = "x86_64:41:2:1:0", "x86_64:135:0x8"
MKDIR_X86 = "x86:39:0:0"


@pytest.fixture
def lab(lab: Lab) -> Lab:
    lab.configure("[default]\nrecord = true\n")
    return lab


def kinds(node: Installed, bundle: Bundle) -> dict[tuple[str, int], list[Any]]:
    kinds = {(call.code, call.comm, call.exe) for call in node.calls(bundle.key)}
    assert kinds == {(USER_NOTIF | RECORDED, "", "")}
    return seen(node, bundle)


@BOTH
def test_what_is_denied_stays_so_and_what_is_allowed_is_recorded(lab: Lab, agent: Agent) -> None:
    calls = (*CALLS, INET, PERSONALITY_8, MKDIR_X86)
    as_enforced = lab.under(block("enforce"), *calls)
    bundle = lab.bundle()
    assert lab.calls(*calls, bundle=bundle) == as_enforced
    agents.stop(agent)
    found = kinds(lab.node, bundle)
    assert logged_calls.number(MOUNT) not in found
    assert logged_calls.number(GETPID) not in found
    assert {args[0] for args in found[logged_calls.number(INET)]} == {2}
    assert {args[0] for args in found[logged_calls.number(PERSONALITY)]} == {0x8, 0x20000}
    assert logged_calls.number(MKDIR_X86) in found
    assert lab.node.ledger()[-1]["recorded"] is True
    assert VSOCK in calls


SCRIPT = (
    "mkdir /tmp/a && echo x > /tmp/a/b && mv /tmp/a/b /tmp/a/c && ls /tmp/a && cat /tmp/a/c | wc -c"
    " && chmod 700 /tmp/a && (sleep 0.1 & wait) && sort /tmp/a/c"
    " && date -r /tmp/a/c > /dev/null && rm -r /tmp/a && echo done"
)


def run_script(bundle: Bundle, runtime: Path | str, script: str) -> str:
    bundle.executing("/bin/sh", "-c", f"exec 2>&1; mkdir -p /tmp; {script}")
    done = bundle.call(runtime, "run")
    return f"{done.returncode} {done.stdout}"


@BOTH
def test_a_recorded_program_behaves_as_bare_under_its_profile_and_can_be_entered(
    lab: Lab, agent: Agent
) -> None:
    bare = run_script(lab.bundle(), lab.bare, SCRIPT)
    assert bare.endswith("done\n")
    bundle = lab.bundle()
    assert run_script(bundle, lab.wrapper, SCRIPT) == bare
    time.sleep(1.1)  # the ledger's times are whole seconds: so long it may not be from the start
    made = lab.node.control("suggest", "--recorded", bundle.name)
    assert "Recorded in 1 container, 1 of them from the start" in made.stderr
    assert "the agent is never asked" in made.stderr
    found = json.loads(made.stdout)
    allowed = {name for rule in found["syscalls"] for name in rule["names"]}
    assert "mkdir" in allowed
    assert not allowed & {"ptrace", "keyctl", "init_module", "symlink", "socket"}
    (lab.node.prefix / "etc/profiles").mkdir(exist_ok=True)
    (lab.node.prefix / "etc/profiles/own.json").write_text(made.stdout)
    lab.configure('[default]\nprofile = "localhost/own.json"\n')
    assert run_script(lab.bundle(), lab.wrapper, SCRIPT) == bare
    other = run_script(lab.bundle(), lab.wrapper, "ln -s a /tmp/l || echo no")
    assert "Operation not permitted" in other
    running = lab.bundle()
    running.create(lab.wrapper)
    entered = running.call(lab.wrapper, "exec", after=("/bin/sh", "-c", "echo in; cat /bin/x"))
    assert "in\n" in entered.stdout
    assert agent.never_ended


STEPS = (
    "mkdir -p /tmp/a && touch /before && while ! [ -e /go ]; do sleep 0.1; done"
    " && ln -s a /tmp/b && touch /after && exec sleep 1000000"
)
AWAY = 3.0


@pytest.mark.parametrize("pair", ["crun"], indirect=True)
def test_a_recording_goes_on_over_a_stop_of_the_agent_and_its_time_does_not(lab: Lab) -> None:
    def begun() -> Bundle:
        bundle = lab.bundle()
        bundle.executing("/bin/sh", "-c", STEPS)
        bundle.create(lab.wrapper)
        wait_until((bundle.path / "rootfs/before").exists, "its first call")
        return bundle

    def ended(bundle: Bundle) -> None:
        wait_until((bundle.path / "rootfs/after").exists, "its last call")

    with agents.supervised(lab.node) as agent:
        started = time.monotonic()
        one, undisturbed = begun(), begun()
        (undisturbed.path / "rootfs/go").touch()
        ended(undisturbed)
        time.sleep(1.1)  # as above
        agent.control("stop", "runc-wrap-observe.service")
        (one.path / "rootfs/go").touch()
        time.sleep(AWAY)
        assert not (one.path / "rootfs/after").exists()  # its call waits
        agent.control("start", "runc-wrap-observe.service")
        ended(one)
        found = lab.workload(one)["recorded"]
        lasted = time.monotonic() - started
    assert kinds(lab.node, one) == kinds(lab.node, undisturbed)
    assert (found["whole"], found["lost"], found["notes"]) == (1, 0, [])
    assert found["watched"] <= lasted - AWAY + 1


def words(installed: Installed, file: Path, *command: str) -> list[str]:
    return [str(installed.ctl), "profile", "record", "-o", str(file), "--", *command]


def recorded(file: Path) -> dict[str, Any]:
    found = json.loads(file.read_text())
    assert found["defaultAction"] == "SCMP_ACT_ERRNO"
    return {
        name: rule
        for rule in found["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }


def test_status_output_and_childrens_calls_are_passed_on_and_recorded(
    installed: Installed, tmp_path: Path
) -> None:
    requires(root=True)
    file = tmp_path / "p.json"
    socket = "import socket, os; socket.socket(); os.mkdir('made')"
    script = f'{sys.executable} -c "{socket}"; (sleep 0.5; ln -s a late) & echo out; exit 7'
    done = attempt(words(installed, file, "sh", "-c", script), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (7, "out\n"), done.stderr
    assert ", which ended with status 7, written to" in done.stderr
    found = recorded(file)
    assert {"mkdir", "socket"} <= found.keys()
    assert "symlink" in found or "symlinkat" in found  # by a child, after the command's own end
    assert found["socket"]["args"][0]["valueTwo"] == 2
    assert not found.keys() & {"mount", "ptrace", "keyctl", "chroot"}
    assert "What did not happen meanwhile may be denied" in done.stderr


def test_signals_reach_the_command_and_its_end_by_one_is_its_status(
    installed: Installed, tmp_path: Path
) -> None:
    requires(root=True)
    file, ready = tmp_path / "p.json", tmp_path / "ready"
    script = f"trap 'exit 5' TERM; : > {ready}; while :; do sleep 0.1; done"
    process = subprocess.Popen(words(installed, file, "sh", "-c", script))
    while not ready.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 5
    done = attempt(words(installed, file, "sh", "-c", "kill -KILL $$"))
    assert done.returncode == 128 + signal.SIGKILL
    assert "Children were left" not in done.stderr


def test_who_may_load_no_filter_gets_no_new_privs_and_what_cannot_run_writes_nothing(
    installed: Installed, tmp_path: Path
) -> None:
    requires(root=True)
    file = tmp_path / "p.json"
    lesser = ["setpriv", "--bounding-set=-sys_admin"]
    done = attempt([*lesser, *words(installed, file, "grep", "NoNewPrivs", "/proc/self/status")])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["NoNewPrivs:", "1"]
    file.unlink()
    for command, said in (("no-such-program", "No such file"), ("podman", "not the container")):
        done = attempt(words(installed, file, command))
        assert (done.returncode, file.exists()) == (2, False)
        assert said in done.stderr
