"""Containers of real engines are tightened while they run, and so is what the engine executes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.engines.containerd import Containerd
from harness.engines.cri import Ask, Cri
from harness.engines.podman import Podman
from harness.host.namespaces import MountNamespace
from harness.host.processes import attempt
from harness.node.install import Installed
from tests.engine.test_status import verified
from tests.runtime.tighten import rounds

TRY = ("sh", "-c", "mkdir /tmp/made 2>/dev/null && rmdir /tmp/made && echo yes || echo no")


def tightened(
    installed: Installed,
    space: MountNamespace,
    profile: Path,
    container: str,
    calls: Sequence[str] = rounds.MKDIR,
) -> tuple[int, Any]:
    """Deny calls in a container of that engine's node."""
    profile.write_text(rounds.profile(calls))
    words = ("--named", str(profile), "--set-no-new-privs", container)
    done = attempt([*space.prefix, installed.ctl, "tighten", "--json", *words])
    found = json.loads(done.stdout)["containers"]
    assert len(found) == 1, done.stderr
    return done.returncode, found[0]


def test_a_pods_container_and_its_exec_probes(
    node: Containerd, cri: Cri, installed: Installed, tmp_path: Path
) -> None:
    pod = cri.run_pod("wrapped", tmp_path)
    one, other = cri.run(pod, Ask()), cri.run(pod, Ask(name="other"))
    assert cri.exec(one, *TRY) == "yes\n"
    status, found = tightened(installed, node.space, tmp_path / "profile.json", one)
    assert (status, found["result"], found["reasons"]) == (0, "tightened", [])
    assert cri.exec(one, *TRY) == "no\n"
    assert cri.exec(other, *TRY) == "yes\n"
    assert verified(installed, node.space, "--deep")[1]["disagreeing"] == []


@pytest.mark.parametrize("runtime", ["wrapped", "wrapped-crun"])
def test_podmans_container_and_its_exec(
    podman: Podman, installed: Installed, tmp_path: Path, runtime: str
) -> None:
    container, again = (podman.start(runtime) for _ in "12")
    assert podman.podman("exec", container, *TRY).stdout == "yes\n"
    profile = tmp_path / "profile.json"
    status, found = tightened(installed, podman.space, profile, container)
    assert (status, found["result"], found["reasons"]) == (0, "tightened", [])
    assert podman.podman("exec", container, *TRY).stdout == "no\n"
    assert podman.podman("exec", again, *TRY).stdout == "yes\n"
