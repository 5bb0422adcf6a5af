"""From a finding to a workload that runs confined, through CRI: the steps of docs/evidence.md.

And a candidate beside an engine's own default, which containers bring: `adopt`, and the report.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.containers import logged_calls
from harness.engines.containerd import Containerd
from harness.engines.cri import RUNTIME_DEFAULT, Ask, Cri, Pod
from harness.node import agent
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


def test_a_workload_runs_under_enforce_with_the_suggested_profile(
    cri: Cri, node: Containerd, governed: Nodes, configured: Configured, way: Way
) -> None:  # fmt: skip
    owned = governed[f"ruled-{way.kind}"]

    def policy(*rules: str) -> None:
        configured(owned, "\n".join([f'runtime = ["{way.kind}"]', *rules]))

    def pod() -> Pod:
        return cri.run_pod(f"ruled-{way.kind}", namespace="build")

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


POD, NAME = "web-7d9c8b5f6-x2k4p", "next/web/main"
NODES = {"adopts": ("runc", "enforce"), "adopts-weaker": ("crun", "observe")}
POLICY = (
    'runtime = ["{}"]\n[default]\nadopt = "runtime-default"\n[[rule]]\nname = "next"\n'
    '{} = ["{}"]\nmode = "{}"\ncandidate = "runtime-default - sysinfo - ustat"\n'
)
SYSINFO, USTAT = "x86_64:99:0", "x86_64:136:0"
CALLS = (f"/{logged_calls.PROGRAM}", SYSINFO, USTAT)
# sysinfo is the candidate's denial, so the kernel answers EFAULT; ustat is the default's own
TIMES = 3  # the audit record of a short process is by chance attributed to no container
ANSWERS = f"{SYSINFO} errno 14\n{USTAT} errno 1\n"


def _judged(own: Installed, *words: str | Path) -> Any:
    done = own.control("report", "--candidate", "--json", *words, ok=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def _seen(workload: Any) -> Any:
    calls = [(one["syscall"], one["errno"]) for one in workload["calls"]]
    return workload["verdict"], workload["containers"], calls


def test_a_pods_runtime_default_gets_a_candidate_which_is_judged_over_nodes(
    node: Containerd, cri: Cri, governed: dict[str, Installed], configured: Configured,
    tmp_path: Path,
) -> None:  # fmt: skip
    files = []
    for handler, (kind, mode) in NODES.items():
        own = governed[handler]
        configured(own, POLICY.format(kind, "namespace", "next", mode))
        with agent.running(own, node.space.prefix):
            pod = cri.run_pod(handler, namespace="next", name=POD)
            container = cri.run(pod, Ask(seccomp=RUNTIME_DEFAULT))
            for _ in range(TIMES):
                assert cri.exec(container, *CALLS) == ANSWERS
            cri.remove_pods()  # else an agent that is ended waits for it
        (line,) = own.ledger(container)
        assert (line["declared"], line["action"]) == ("engine's default", "inject")
        assert (line["mode"], line["profile"]) == (mode, line["replaced"])
        files.append(tmp_path / f"{kind}.json")
        document = _judged(own, "--node", kind)
        files[-1].write_text(json.dumps(document))
        (found,) = (one for one in document["workloads"] if one["name"] == NAME)
        assert _seen(found) == ("denied", 1, [("sysinfo", "EPERM")])
    merged = _judged(governed["adopts"], "--merge", *files)
    (found,) = (one for one in merged["workloads"] if one["name"] == NAME)
    assert (merged["nodes"], _seen(found)) == (2, ("denied", 2, [("sysinfo", "EPERM")]))
