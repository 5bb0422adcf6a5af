"""verify --deep on processes that cannot be traced: a bounded wait, and none is skipped."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.host.processes import wait_until
from harness.kernel.process_status import status
from harness.node import install

if TYPE_CHECKING:
    from harness.containers.bundles import Bundle
    from harness.node.install import Installed
    from tests.runtime.conftest import Lab

PARENTS, HELD = 30, 3
SECONDS = 20  # one after the other it was 61 s, and for ever with one that is held in execve


@pytest.fixture
def node(runc: Lab, tmp_path: Path) -> Installed:
    return install.copy_of(runc.installed, tmp_path / "prefix")


def unstoppable(bundle: Bundle, program: Path, *words: int) -> None:
    bundle.running(program, *words)


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
    bad, good = runc.bundle(), runc.bundle()
    unstoppable(bad, runc.built("unstoppable"), parents, held)
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
    bundle = runc.bundle()
    unstoppable(bundle, runc.built("unstoppable"), PARENTS, 1)
    bundle.create(runc.wrapper)
    bundle.delete(runc.bare)
    decided = bundle.config.read_bytes()
    config = bundle.read()
    config["linux"]["seccomp"]["syscalls"].append({"names": ["mount"], "action": "SCMP_ACT_ALLOW"})
    bundle.config.write_text(json.dumps(config))
    pid = bundle.create(runc.bare)
    bundle.config.write_bytes(decided)
    wait_until(lambda: states(pid).count("D") == PARENTS + 1, "all of them waiting")
    code, found, _, seconds = deep(runc.node)
    assert seconds < SECONDS
    assert code == 1
    assert pid in [one["pid"] for one in found["disagreeing"]]
