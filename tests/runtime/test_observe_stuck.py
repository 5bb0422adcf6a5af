"""observe beside a container whose memory nobody can read: only its own calls wait for that."""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent import stalling
from runc_wrap.evidence import store
from runc_wrap.profiles import syscalls
from tests.support import agent as agents
from tests.support import install
from tests.support.deaf_file import deaf_file
from tests.support.processes import short_directory, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.runtime.conftest import Pair
    from tests.support.bundles import Bundle

KEYCTL, CALLS = 250, 20
UFFD = 323
SAID = "to read the memory of callers of "


@pytest.fixture
def node(runc: Pair) -> Iterator[install.Installed]:
    """An installation in observe, whose path is short enough for sockets."""
    with short_directory("stuck") as place:
        own = install.copy_of(runc.installed, place / "p")
        own.configure(f'runtime = ["{runc.kind}"]\n[default]\nmode = "observe"\n')
        yield own


def _with(bundle: Bundle, program: Path, *words: str, mounts: tuple[Path, ...] = ()) -> Bundle:
    shutil.copy(program, bundle.path / "rootfs")
    config = bundle.read()
    config["process"]["args"] = [f"/{program.name}", *words]
    for path in mounts:
        bound = {"type": "bind", "source": str(path), "options": ["bind"]}
        config["mounts"].append({"destination": f"/{path.name}", **bound})
    bundle.config.write_text(json.dumps(config))
    return bundle


def _calls(node: install.Installed, bundle: Bundle) -> dict[int, int]:
    found = store.load(node.prefix / "var" / "evidence").containers
    seen = found.get((str(bundle.path / "state"), bundle.name))
    return {call.number: tally.count for call, tally in seen.calls.items()} if seen else {}


def _reads(pid: int) -> bool:
    """Tell whether a process is in a read at a place, which takes no time unless it waits."""
    number = syscalls.numbers(syscalls.native())["pread64"]
    return Path(f"/proc/{pid}/syscall").read_text().startswith(f"{number} ")


def test_a_call_that_points_at_memory_nobody_can_read_holds_up_others_once_and_not_for_ever(
    runc: Pair,
    node: install.Installed,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
) -> None:
    others = [_with(make_bundle(runc.kind), built("short"), str(CALLS), str(KEYCTL)) for _ in "12"]
    with agents.running(node) as agent, deaf_file(node.prefix.parent / "deaf") as deaf:
        jamming = _with(make_bundle(runc.kind), built("jam"), "3", "/deaf", mounts=(deaf,))
        agent.wait_three([])
        stuck = agent.evidence
        jamming.create(node.wrapper)
        wait_until(lambda: _reads(stuck), "the evidence worker to be stuck")
        with ThreadPoolExecutor(1) as background:
            held_up = background.submit(others[0].call, node.wrapper, "run")
            time.sleep(stalling.BUSY_SECONDS / 3)
            assert not held_up.done()
            assert _reads(stuck)
            assert held_up.result().returncode == 0
        assert {*agents.processes(node.prefix, "evidence")} - {stuck}
        assert others[1].call(node.wrapper, "run").returncode == 0
        wait_until(lambda: _calls(node, others[1]) == {KEYCTL: CALLS}, "all calls in the store")
        assert _calls(node, others[0]) == {KEYCTL: CALLS}
        assert agent.daemon.log.read_text().count(SAID) == 1  # of three that call
        jamming.delete(runc.bare)
