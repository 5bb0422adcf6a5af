"""Nothing that a container's process says of itself excuses its calls: no name, no parent.

Each test is an attack that once made a workload `safe` whose processes made denied calls.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.node import agent as agents
from harness.node import install
from runc_wrap.profiles import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.containers.bundles import Bundle
    from runc_wrap.evidence.store.call_counts import CallKind, Tally
    from tests.runtime.conftest import Pair

Json = dict[str, Any]
NUMBERS = syscalls.numbers(syscalls.native())
DANGEROUS = ("bpf", "init_module", "kexec_load")
TIMES = 12
SHIM = """
import ctypes, os, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, as an engine's shim
status = subprocess.call(sys.argv[1:])
time.sleep(0.5)
sys.exit(status)
"""


@pytest.fixture
def auditing(pair: Pair, node: install.Installed) -> install.Installed:
    node.configure(f'runtime = ["{pair.kind}"]\n[default]\nmode = "audit"\n')
    return node


def _seen(node: install.Installed, bundle: Bundle) -> dict[str, int]:
    """Return how often each call was counted as the container's, doubtful ones included."""
    seen = node.evidence.containers.get(bundle.key)
    found: dict[str, int] = {}
    for call, tally in [*seen.calls.items(), *seen.unsure.calls.items()] if seen else ():
        name = next(name for name, number in NUMBERS.items() if number == call.number)
        found[name] = found.get(name, 0) + tally.count
    return found


@pytest.mark.parametrize("times", range(3))
def test_a_program_named_like_the_runtime_is_not_the_runtime(
    pair: Pair,
    auditing: install.Installed,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
    times: int,
) -> None:
    """Its first calls come so soon after its exec that their time may be before it."""
    words = ("calls", *(str(NUMBERS[name]) for name in DANGEROUS))
    bundle = make_bundle(pair.kind).running(built("impostor"), *words, name=pair.kind)
    with agents.running(auditing) as agent:
        agent.wait_ready()
        assert bundle.call(auditing.wrapper, "run").returncode == 0, times
        found = auditing.workload(bundle.name)
    assert found["verdict"] != "safe"
    assert found["runtime_calls"] == []
    assert _seen(auditing, bundle) == dict.fromkeys(DANGEROUS, 1)


def test_a_program_named_like_the_runtime_cannot_hide_its_own_filter(
    pair: Pair,
    auditing: install.Installed,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
) -> None:
    words = ("seccomp", "listener", str(NUMBERS["keyctl"]))
    bundle = make_bundle(pair.kind).running(built("own_filter"), *words, name=pair.kind)
    with agents.running(auditing) as agent:
        agent.wait_ready()
        done = bundle.call(auditing.wrapper, "run")
        assert "installed 0" in done.stdout
        assert auditing.workload(bundle.name)["verdict"] != "safe"


@pytest.mark.parametrize("how", ["detached", "attached"])
@pytest.mark.parametrize("named", ["impostor", "runtime"])
def test_a_sibling_made_by_clone_parent_is_the_containers(  # noqa: PLR0917 - fixtures
    pair: Pair,
    auditing: install.Installed,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
    how: str,
    named: str,
) -> None:
    """The kernel names as its parent the runtime, or whoever took over the runtime's child."""
    name = pair.kind if named == "runtime" else named
    bundle = make_bundle(pair.kind)
    shutil.copy(built("impostor"), bundle.path / "rootfs" / name)
    words = (f"/{name}", "siblings", str(TIMES), str(NUMBERS["keyctl"]))
    with agents.running(auditing) as agent:
        agent.wait_ready()
        bundle.create(auditing.wrapper)
        flags = ["--detach"] if how == "detached" else []
        shim = (sys.executable, "-c", SHIM)
        done = bundle.call(auditing.wrapper, "exec", *flags, after=words, before=shim)
        assert done.returncode == 0, done.stdout
        found = auditing.workload(bundle.name)
    assert found["verdict"] != "safe", found
    assert found["runtime_calls"] == []


def test_a_containers_process_with_the_probes_name_is_counted(
    pair: Pair,
    auditing: install.Installed,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
) -> None:
    name: list[str] = []
    with agents.running(auditing) as agent:
        until = time.monotonic() + 3
        while not name and time.monotonic() < until:
            _add_probes_names(name)
        agent.wait_ready()
        words = ("named", (name or ["runc-wrap-probe"])[0], str(TIMES), str(NUMBERS["keyctl"]))
        bundle = make_bundle(pair.kind).running(built("impostor"), *words)
        assert bundle.call(auditing.wrapper, "run").returncode == 0
        found = auditing.workload(bundle.name)
    assert found["verdict"] == "denied", found
    assert _seen(auditing, bundle) == {"keyctl": TIMES}


def _add_probes_names(found: list[str]) -> None:
    """Add the names of the agent's probes that run now, as anyone may read them in /proc."""
    for one in Path("/proc").glob("[0-9]*"):
        try:
            words = (one / "cmdline").read_bytes().split(b"\0")
            if any(word.endswith(b"/probe_process.py") for word in words):
                found += [word.decode() for word in words if word.startswith(b"rw-")]
                found += {(one / "comm").read_text().strip()} - {Path(sys.executable).name}
        except OSError:
            continue


CALM, GUESTS = 5, 20
LOGS = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["keyctl"], "action": "SCMP_ACT_LOG"}],
}


def test_short_containers_of_a_runtime_without_us_cast_no_doubt_on_calm_services(
    pair: Pair,
    auditing: install.Installed,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
) -> None:
    """Their profile logs, too, and they end before anybody can look at their program."""
    words = ("calls", str(NUMBERS["keyctl"]))
    calm = [make_bundle(pair.kind) for _ in range(CALM)]
    guests = [
        make_bundle(pair.kind, seccomp=LOGS).running(built("impostor"), *words, name="guest")
        for _ in range(GUESTS)
    ]
    with agents.running(auditing) as agent:
        agent.wait_ready()
        for one in calm:
            one.create(auditing.wrapper)
        for one in guests:
            assert one.call(pair.bare, "run").returncode == 0
        found = [auditing.workload(one.name) for one in calm]
    strays = auditing.evidence.unattributed
    known, doubtful = _guests(strays.elsewhere.calls), _guests(strays.calls)

    assert known + doubtful == GUESTS
    assert doubtful == 0 or all("Recreate it" in one["reason"] for one in found), found[0]


def _guests(calls: dict[CallKind, Tally]) -> int:
    return sum(tally.count for call, tally in calls.items() if call.exe == "/guest")
