"""Nothing that a container's process says of itself excuses its calls: no name, no parent.

Each test is an attack that once made a workload `safe` whose processes made denied calls.
"""

import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.containers.block_rules import profile, rule
from harness.containers.bundles import Bundle
from harness.node import agent as agents
from harness.node import install
from harness.node.install import totals
from runc_wrap.evidence.store.call_counts import EITHER, ELSEWHERE
from runc_wrap.profiles import syscall_names
from tests.runtime.conftest import BOTH, Lab
from tests.runtime.evidence.conftest import IN_AUDIT

pytestmark = IN_AUDIT

Json = dict[str, Any]
NUMBERS = syscall_names.numbers(syscall_names.native())
DANGEROUS = ("bpf", "init_module", "kexec_load")
TIMES = 12
SHIM = """
import ctypes, os, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, as an engine's shim
status = subprocess.call(sys.argv[1:])
time.sleep(0.5)
sys.exit(status)
"""


def _seen(node: install.Installed, bundle: Bundle) -> dict[str, int]:
    """Return how often each call was counted as the container's, doubtful ones included."""
    names = {number: name for name, number in NUMBERS.items()}
    seen = node.evidence.containers.get(bundle.key)
    both = [seen.calls, seen.part(EITHER).calls] if seen else []
    return sum((totals(one, lambda call: names[call.number]) for one in both), Counter())


@BOTH
@pytest.mark.parametrize("times", range(3))
def test_a_program_named_like_the_runtime_is_not_the_runtime(lab: Lab, times: int) -> None:
    """Its first calls come so soon after its exec that their time may be before it."""
    words = ("calls", *(str(NUMBERS[name]) for name in DANGEROUS))
    bundle = lab.running("impostor", *words, name=lab.kind)
    with lab.agent():
        assert bundle.call(lab.wrapper, "run").returncode == 0, times
        found = lab.workload(bundle)
    assert found["verdict"] != "safe"
    assert found["runtime_calls"] == []
    assert _seen(lab.node, bundle) == dict.fromkeys(DANGEROUS, 1)


@BOTH
def test_a_program_named_like_the_runtime_cannot_hide_its_own_filter(lab: Lab) -> None:
    words = ("seccomp", "listener", str(NUMBERS["keyctl"]))
    bundle = lab.running("own_filter", *words, name=lab.kind)
    with lab.agent():
        done = bundle.call(lab.wrapper, "run")
        assert "installed 0" in done.stdout
        assert lab.workload(bundle)["verdict"] != "safe"


@BOTH
@pytest.mark.parametrize("how", ["detached", "attached"])
@pytest.mark.parametrize("named", ["impostor", "runtime"])
def test_a_sibling_made_by_clone_parent_is_the_containers(lab: Lab, how: str, named: str) -> None:
    """The kernel names as its parent the runtime, or whoever took over the runtime's child."""
    name = lab.kind if named == "runtime" else named
    bundle = lab.bundle()
    shutil.copy(lab.built("impostor"), bundle.path / "rootfs" / name)
    words = (f"/{name}", "siblings", str(TIMES), str(NUMBERS["keyctl"]))
    with lab.agent():
        bundle.create(lab.wrapper)
        flags = ["--detach"] if how == "detached" else []
        shim = (sys.executable, "-c", SHIM)
        done = bundle.call(lab.wrapper, "exec", *flags, after=words, before=shim)
        assert done.returncode == 0, done.stdout
        found = lab.workload(bundle)
    assert found["verdict"] != "safe", found
    assert found["runtime_calls"] == []


def test_a_containers_process_with_the_probes_name_is_counted(lab: Lab) -> None:
    name: list[str] = []
    with agents.running(lab.node) as agent:
        until = time.monotonic() + 3
        while not name and time.monotonic() < until:
            _add_probes_names(name)
        agent.wait_ready()
        words = ("named", (name or ["runc-wrap-probe"])[0], str(TIMES), str(NUMBERS["keyctl"]))
        bundle = lab.run("impostor", *words)
        found = lab.workload(bundle)
    assert found["verdict"] == "denied", found
    assert _seen(lab.node, bundle) == {"keyctl": TIMES}


def _add_probes_names(found: list[str]) -> None:
    """Add the names of the agent's probes that run now, as anyone may read them in /proc."""
    for one in Path("/proc").glob("[0-9]*"):
        try:
            words = (one / "cmdline").read_bytes().split(b"\0")
            if any(word.endswith(b"/audit_probe_process.py") for word in words):
                found += [word.decode() for word in words if word.startswith(b"rw-")]
                found += {(one / "comm").read_text().strip()} - {Path(sys.executable).name}
        except OSError:
            continue


CALM, GUESTS = 5, 20
LOGS = profile(rule("LOG", "keyctl"))


def test_short_containers_of_a_runtime_without_us_cast_no_doubt_on_calm_services(lab: Lab) -> None:
    """Their profile logs, too, and they end before anybody can look at their program."""
    words = ("calls", str(NUMBERS["keyctl"]))
    calm = [lab.bundle() for _ in range(CALM)]
    guests = [
        lab.bundle(seccomp=LOGS).running(lab.built("impostor"), *words, name="guest")
        for _ in range(GUESTS)
    ]
    with lab.agent():
        for one in calm:
            one.create(lab.wrapper)
        for one in guests:
            assert one.call(lab.bare, "run").returncode == 0
        found = [lab.workload(one) for one in calm]
    strays = lab.node.evidence.unattributed
    both = [totals(one.calls, lambda call: call.exe) for one in (strays.part(ELSEWHERE), strays)]
    known, doubtful = (counts["/guest"] for counts in both)

    assert known + doubtful == GUESTS
    assert doubtful == 0 or all("Recreate it" in one["reason"] for one in found), found[0]
