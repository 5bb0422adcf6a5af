"""What would break, said before anything is enforced: real containers, real records, one report."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import collecting
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.runtime.conftest import Pair
    from tests.support.bundles import Bundle
    from tests.support.install import Installed

Json = dict[str, Any]
UNSHARE, MOUNT, KEYCTL, CLONE, GETPID = 272, 165, 250, 56, 39
NEWUSER = 0x10000000


def _installed(pair: Pair, installed: Installed, mode: str) -> Installed:
    installed.configure(f'runtime = ["{pair.kind}"]\n[default]\nmode = "{mode}"\n')
    return installed


@pytest.fixture
def auditing(pair: Pair, own_installation: Installed) -> Installed:
    return _installed(pair, own_installation, "audit")


def _with_program(
    bundle: Bundle, program: Path, *args: str, annotations: Json | None = None
) -> Bundle:
    target = bundle.path / "rootfs" / program.name
    target.write_bytes(program.read_bytes())
    target.chmod(0o755)
    config = bundle.read()
    config["process"]["args"] = [f"/{program.name}", *args]
    config["annotations"].update(annotations or {})
    bundle.config.write_text(json.dumps(config))
    return bundle


def _report(installed: Installed, *words: str) -> dict[str, Json]:
    """Return the workloads by their container's name; the exit status is looked at elsewhere."""
    done = installed.control("report", "--json", *words, ok=False)
    assert done.returncode in (0, 1), done.stderr
    return {one["container"]: one for one in json.loads(done.stdout)}


def _syscalls(workload: Json) -> dict[str, int]:
    return {call["syscall"]: call["count"] for call in workload["calls"]}


def test_children_of_a_moment_are_told_apart_by_workload(
    auditing: Installed,
    pair: Pair,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
) -> None:
    short = built("short")
    calls = {"unshare": UNSHARE, "mount": MOUNT, "keyctl": KEYCTL}
    made = {
        name: _with_program(make_bundle(pair.kind), short, "50", str(number))
        for name, number in calls.items()
    }
    quiet = _with_program(make_bundle(pair.kind), short, "50", str(GETPID))
    with collecting.collecting(auditing.prefix), ThreadPoolExecutor(4) as pool:
        done = list(
            pool.map(lambda one: one.call(auditing.wrapper, "run"), [*made.values(), quiet])
        )
    assert [one.returncode for one in done] == [0, 0, 0, 0], [one.stdout for one in done]
    found = _report(auditing)
    assert {name: _syscalls(found[made[name].name]) for name in made} == {
        name: {name: 50} for name in made
    }
    assert {found[made[name].name]["verdict"] for name in made} == {"denied"}
    assert found[quiet.name]["verdict"] == "safe"
    assert found[made["unshare"].name]["calls"][0]["programs"] == ["/short"]
    assert found[made["unshare"].name]["calls"][0]["errno"] == "EPERM"
