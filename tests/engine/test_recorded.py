"""`record` on a rule under real engines; two nodes' recordings are added up."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.containers import logged_calls
from harness.engines.containerd import Containerd
from harness.engines.cri import Ask, Cri, CriError
from harness.node import agent
from harness.node.install import Installed

Configured = Callable[[Installed, str], None]
Nodes = dict[str, Installed]

POD, NAME = "web-7d9c8b5f6-x2k4p", "shop/web/main"
RULE = 'runtime = ["{}"]\n[[rule]]\nname = "look at all"\n{} = ["{}"]\nrecord = true\n'
CALLS, INET, UNIX = f"/{logged_calls.PROGRAM}", "x86_64:41:2:1:0", "x86_64:41:1:1:0"
OWN = {  # what each node's container does alone
    "runc": f"mkdir /tmp/own && {CALLS} {INET}",
    "crun": f"ln -s own /tmp/own && {CALLS} {UNIX}",
}
BOTH = "rm -r /tmp/own && touch /tmp/both"
READY = f"{BOTH} && exec sleep 1000000"
PROBE = ("sh", "-c", "while ! rm /tmp/both; do sleep 0.1; done 2>/dev/null")
SUGGEST = ("suggest", "--recorded")
A_WHILE = 3  # seconds: starts are known by the second


def _allowed(printed: str) -> set[tuple[str, str]]:
    """Return the names that a profile allows, each with its conditions."""
    return {
        (name, json.dumps({**rule, "names": [], "comment": ""}))
        for rule in json.loads(printed)["syscalls"]
        for name in rule["names"]
        if rule["action"] == "SCMP_ACT_ALLOW"
    }


def test_two_nodes_recordings_are_added_up_and_enough_for_both(
    node: Containerd, cri: Cri, governed: Nodes, configured: Configured, tmp_path: Path
) -> None:
    nodes = {kind: governed[f"ruled-{kind}"] for kind in OWN}

    def run(kind: str, script: str) -> str:
        pod = cri.run_pod(f"ruled-{kind}", namespace="shop", name=POD)
        return cri.run(pod, Ask(command=["sh", "-c", f"{script} && {READY}"]))

    files, seen = [], []
    for kind, own in nodes.items():
        configured(own, RULE.format(kind, "namespace", "shop"))
        with agent.running(own, node.space.prefix):
            cri.exec(run(kind, OWN[kind]), *PROBE)
            time.sleep(A_WHILE)
            cri.remove_pods()  # else an agent that is ended waits for it
        files.append(tmp_path / f"{kind}.json")
        files[-1].write_text(own.control("report", "--json", "--node", kind).stdout)
        seen.append(_allowed(own.control(*SUGGEST, NAME).stdout))
    first, second = seen
    assert {name for name, _ in first ^ second} >= {"socket", "mkdir", "symlink"}
    made = nodes["runc"].control(*SUGGEST, "--merge", NAME, *files)
    assert _allowed(made.stdout) == first | second
    assert "Recorded in 2 containers on 2 nodes, 2 of them from the start" in made.stderr
    for kind, own in nodes.items():
        (own.prefix / "etc/profiles/web.json").write_text(made.stdout)
        configured(own, f'runtime = ["{kind}"]\n[default]\nprofile = "localhost/web.json"\n')
        container = run(kind, f"{OWN['runc']} && {BOTH} && {OWN['crun']}")
        cri.exec(container, *PROBE)
        with pytest.raises(CriError, match="Operation not permitted"):
            cri.exec(container, "mkfifo", "/tmp/pipe")
        cri.remove_pods()
