"""From a finding to a workload that runs confined, through CRI: the steps of docs/evidence.md."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from harness.engines.cri import Ask
from harness.node import agent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.engines.containerd import Containerd
    from harness.engines.cri import Cri, Pod
    from harness.node.install import Installed

    Configured = Callable[[Installed, str], None]
    Nodes = dict[str, Installed]

NEW_USERS = "unshare -U true"  # what tools that build images do first
LOOK = """
[[rule]]
name = "build: look first"
namespace = ["build"]
mode = "{mode}"
"""

FIXED = """
[[rule]]
name = "build: what it needs"
namespace = ["build"]
profile = "localhost/build.json"
"""


class Way(NamedTuple):
    """The mode in which it is watched; every mode on every runtime."""

    kind: str
    mode: str


@pytest.fixture(params=[Way("runc", "audit"), Way("crun", "observe")], ids="-".join)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


def _reported(owned: Installed, pod: str, once_more: Callable[[], bool]) -> dict[str, Any]:
    """Return the pod's workload from the report, once it has calls; the pod repeats them."""
    end = time.monotonic() + 60
    while True:
        assert once_more()
        done = owned.control("report", "--json", ok=False)
        for found in json.loads(done.stdout):
            if pod in found["pods"] and found["calls"]:
                return dict(found)
        assert time.monotonic() < end, done.stdout
        time.sleep(0.5)


def _runs(cri: Cri, pod: Pod) -> bool:
    return _works(cri, cri.run(pod, Ask()))


def _works(cri: Cri, container: str) -> bool:
    return cri.exec(container, "sh", "-c", f"{NEW_USERS} && echo made || true") == "made\n"


def test_a_workload_runs_under_enforce_with_the_suggested_profile(  # noqa: PLR0917 - as above
    cri: Cri, node: Containerd, governed: Nodes, configured: Configured, way: Way, tmp_path: Path
) -> None:  # fmt: skip
    owned = governed[f"ruled-{way.kind}"]

    def policy(*rules: str) -> None:
        configured(owned, "\n".join([f'runtime = ["{way.kind}"]', *rules]))

    def pod() -> Pod:
        return cri.run_pod(f"ruled-{way.kind}", tmp_path, namespace="build")

    policy()
    assert not _runs(cri, pod()), "the default profile must deny it"
    with agent.running(owned, node.space.prefix):
        policy(LOOK.format(mode=way.mode))
        looked_at = pod()
        container = cri.run(looked_at, Ask())
        name = looked_at.config.metadata.name
        found = _reported(owned, name, lambda: _works(cri, container))
        cri.remove_pod(looked_at.id)  # else an agent that is ended waits for it
    assert "agent" in {line["via"] for line in owned.ledger() if line["pod"] == name}
    assert found["verdict"] == "denied"
    (call,) = found["calls"]
    assert (call["syscall"], call["errno"]) == ("unshare", "EPERM")
    name = "/".join(found[key] for key in ("namespace", "pod", "container"))
    suggested = owned.control("suggest", "--allow-dangerous", name)
    path = owned.prefix / "etc" / "profiles" / "build.json"
    path.write_text(suggested.stdout)
    policy(FIXED)
    assert _runs(cri, pod())
    path.unlink()
