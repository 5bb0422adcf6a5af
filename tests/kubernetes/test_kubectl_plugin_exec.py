"""kubectl runc-wrap through the real kubectl, against a stand-in for the API server on loopback.

kubectl's discovery, its lists and its exec over WebSockets are real; the cluster is not.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster import stand_in_api_server
from harness.cluster.stand_in_api_server import Cluster
from harness.host.processes import Run, attempt, environment, script
from harness.node.node_reports import call, document, workload
from harness.node.requirements import unmet

MANIFESTS = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
RIGHTS = MANIFESTS / "plugin" / "rights.yaml"
WEB = workload("web", call())


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    if shutil.which("kubectl") is None:
        unmet("kubectl (Debian's kubernetes-client)")
    with stand_in_api_server.serving() as found:
        yield found


def _run(cluster: Cluster, tmp_path: Path, *words: str) -> Run:
    """Run the plugin as kubectl does: as a program of this name in PATH."""
    code = "from runc_wrap.cli.kubectl_plugin import start; start()"
    script(tmp_path / "kubectl-runc_wrap", f"#!{sys.executable}\n{code}\n")
    config = cluster.kubeconfig(tmp_path / "kubeconfig")
    path = f"{tmp_path}:{os.environ['PATH']}"
    variables = environment(PATH=path, KUBECONFIG=str(config), HOME=str(tmp_path))
    return attempt(["kubectl", "runc-wrap", *words], env=variables)


def _answer(cluster: Cluster, node: str, *workloads: Any) -> None:
    cluster.answers[node] = json.dumps(document(node, *workloads), indent=2).encode()


def test_reports_come_by_exec_and_status_by_labels(cluster: Cluster, tmp_path: Path) -> None:
    cluster.path = "/k8s/clusters/c-1"  # as a gateway's
    many = [workload(f"w{at}") for at in range(300)]  # more than one message of a WebSocket
    _answer(cluster, "a", WEB, *many)
    _answer(cluster, "b", workload("web"))
    cluster.labels["a"] = {"runc-wrap.dev/ready": "true", "runc-wrap.dev/version": "0.2.0"}
    done = _run(cluster, tmp_path, "report", "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert (found["nodes"], found["silent"], found["refused"]) == (2, [], [])
    assert len(found["workloads"]) == 301
    assert found["workloads"][0]["verdict"] == "denied"
    assert cluster.commands == [["/runc-wrap/bin/runc-wrapctl", "cluster", "report"]] * 2
    assert cluster.containers == ["installer"] * 2
    done = _run(cluster, tmp_path, "status", "--json")
    assert done.returncode == 1, done.stderr
    shown = json.loads(done.stdout)
    assert [(one["name"], one["is_ready"], one["version"]) for one in shown] == [
        ("a", True, "0.2.0"),
        ("b", False, ""),
    ]


def test_a_policy_is_checked_by_each_node(cluster: Cluster, tmp_path: Path) -> None:
    taken: dict[str, Any] = {"form": 1, "refused": None, "remarks": [], "changes": [], "changed": 0}
    cluster.answers["a"] = json.dumps(taken).encode()
    cluster.answers["b"] = json.dumps({**taken, "refused": "no such mode"}).encode()
    overlay = MANIFESTS / "overlays" / "audit"
    cluster.answers["plane"] = b"not asked"
    cluster.without_pod.add("plane")
    config = MANIFESTS / "base" / "node" / "config.toml"
    cluster.config_maps["policy"] = {"config.toml": config.read_text()}
    mode = str(overlay / "0-mode.toml")
    words = ("policy", "check", "--json", "--config-map", "policy", "-f", mode)
    done = _run(cluster, tmp_path, *words)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert (found["taken"], found["silent"]) == (1, [])
    assert found["not_reached"] == [{"node": "plane"}]
    assert found["refused"] == [{"why": "no such mode", "nodes": ["b"]}]
    assert cluster.commands == [["/runc-wrap/bin/runc-wrapctl", "cluster", "check-policy"]] * 2
    files = {"config.toml": config.read_text(), "conf.d/0-mode.toml": Path(mode).read_text()}
    assert {node: json.loads(one) for node, one in cluster.given.items()} == {
        "a": files,
        "b": files,
    }


def test_the_shipped_roles_allow_what_is_asked_and_little_else(
    cluster: Cluster, tmp_path: Path
) -> None:
    _answer(cluster, "a", WEB)
    nodes, pods, report = yaml.safe_load_all(RIGHTS.read_text())
    assert _run(cluster, tmp_path, "status").returncode == 1
    assert set(cluster.requests) == _allowed(nodes) | _allowed(pods)
    assert _run(cluster, tmp_path, "report").returncode == 1
    assert _run(cluster, tmp_path, "policy", "check", "--config-map", "none").returncode == 2
    allowed = _allowed(nodes) | _allowed(report)
    assert set(cluster.requests) <= allowed
    newer = {("create", "pods/exec")}  # which Kubernetes 1.35 demands beside get
    assert allowed - set(cluster.requests) == newer


def _allowed(role: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (verb, resource)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
