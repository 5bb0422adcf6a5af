"""kubectl runc-wrap through the real kubectl, against a stand-in for the API server on loopback.

kubectl's discovery, its lists and its exec over WebSockets are real; the cluster is not.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness.cluster import stand_in_api_server
from harness.host.processes import environment
from harness.node.node_reports import call, document, workload
from harness.node.requirements import unmet
from runc_wrap.fleet import collection, exec_proxy, exec_stream, kubectl
from runc_wrap.fleet.kubectl import KubectlError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.cluster.stand_in_api_server import Cluster

MANIFESTS = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
RIGHTS = MANIFESTS / "plugin" / "rights.yaml"
WEB = workload("web", call())
EFFECT = "NoSchedule"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    if shutil.which("kubectl") is None:
        unmet("kubectl (Debian's kubernetes-client)")
    with stand_in_api_server.serving() as found:
        yield found


def _run(cluster: Cluster, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the plugin as kubectl does: as a program of this name in PATH."""
    program = tmp_path / "kubectl-runc_wrap"
    code = "from runc_wrap.cli.kubectl_plugin import start; start()"
    program.write_text(f"#!{sys.executable}\n{code}\n")
    program.chmod(0o755)
    variables = {
        **environment(),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubeconfig(tmp_path / "kubeconfig")),
        "HOME": str(tmp_path),
    }
    words = ("kubectl", "runc-wrap", *words)
    return subprocess.run(
        words, capture_output=True, text=True, env=variables, check=False, timeout=120
    )


def _answer(cluster: Cluster, node: str, *workloads: Any) -> None:
    cluster.answers[node] = json.dumps(document(node, *workloads), indent=2).encode()


def test_report_comes_through_exec_and_status_through_labels(
    cluster: Cluster, tmp_path: Path
) -> None:
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


def test_a_policy_is_checked_by_each_node_as_kustomize_renders_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    taken: dict[str, Any] = {"form": 1, "refused": None, "remarks": [], "changes": [], "changed": 0}
    cluster.answers["a"] = json.dumps(taken).encode()
    cluster.answers["b"] = json.dumps({**taken, "refused": "no such mode"}).encode()
    overlay = MANIFESTS / "overlays" / "audit"
    manifests = _rendered(overlay, tmp_path)
    cluster.answers["plane"] = b"not asked"
    cluster.taints["plane"] = [{"key": "node-role.kubernetes.io/control-plane", "effect": EFFECT}]
    done = _run(cluster, tmp_path, "policy", "check", "--json", "-f", manifests)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert (found["taken"], found["silent"]) == (1, [])
    taint = f"node-role.kubernetes.io/control-plane:{EFFECT}"
    assert found["not_reached"] == [{"node": "plane", "taint": taint}]
    assert found["refused"] == [{"why": "no such mode", "nodes": ["b"]}]
    assert cluster.commands == [["/runc-wrap/bin/runc-wrapctl", "cluster", "check-policy"]] * 2
    config = (MANIFESTS / "base" / "node" / "config.toml").read_text()
    files = {"config.toml": config, "conf.d/0-mode.toml": (overlay / "0-mode.toml").read_text()}
    assert {node: json.loads(one) for node, one in cluster.given.items()} == {
        "a": files,
        "b": files,
    }


def test_a_policy_of_pools_is_checked_by_each_pool_s_own_nodes(
    cluster: Cluster, tmp_path: Path
) -> None:
    taken: dict[str, Any] = {"form": 1, "refused": None, "remarks": [], "changes": [], "changed": 0}
    cluster.answers |= dict.fromkeys("ab", json.dumps(taken).encode())
    cluster.labels["a"] = {"runc-wrap.dev/pool": "canary"}
    overlay = MANIFESTS / "overlays" / "per-pool"
    modes = {pool: (overlay / pool / "0-mode.toml").read_text() for pool in ("canary", "rest")}
    config = (MANIFESTS / "base" / "node" / "config.toml").read_text()
    manifests = _rendered(overlay, tmp_path)
    done = _run(cluster, tmp_path, "policy", "check", "--json", "-f", manifests)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["taken"] == 2
    assert {node: json.loads(one) for node, one in cluster.given.items()} == {
        "a": {"config.toml": config, "conf.d/0-mode.toml": modes["canary"]},
        "b": {"config.toml": config, "conf.d/0-mode.toml": modes["rest"]},
    }
    words = ("policy", "check", "--json", "-f", manifests, "--config-map", "runc-wrap-policy-rest")
    assert _run(cluster, tmp_path, *words).returncode == 0
    assert json.loads(cluster.given["a"])["conf.d/0-mode.toml"] == modes["rest"]


def _rendered(overlay: Path, tmp_path: Path) -> str:
    words = ("kubectl", "kustomize", str(overlay))
    done = subprocess.run(words, capture_output=True, check=True, timeout=120)
    path = tmp_path / "all.yaml"
    path.write_bytes(done.stdout)
    return str(path)


FORGED = [
    "\nb linux True true 0.2.0 ready\nb pod-a Running\n",
    '"\n"b""linux""true""0.2.0""ready""True"\n"b""pod-a""Running"\n',
    "\u2028b linux True true 0.2.0 ready\u2028b pod-a Running\u2028",
]


@pytest.mark.parametrize("forged", FORGED)
def test_what_a_node_writes_into_its_own_object_says_nothing_of_another(
    cluster: Cluster, tmp_path: Path, forged: str
) -> None:
    _answer(cluster, "a", workload("web"))
    _answer(cluster, "b", WEB)
    cluster.suffixes["a"] = forged
    shown = json.loads(_run(cluster, tmp_path, "status", "--json").stdout)
    assert [(one["name"], one["is_ready"]) for one in shown] == [("a", False), ("b", False)]
    found = json.loads(_run(cluster, tmp_path, "report", "--json").stdout)
    assert [one["node"] for one in found["silent"]] == ["a"]  # by its own doing
    assert found["workloads"][0]["verdict"] == "denied"


def test_a_stream_that_is_cut_off_is_asked_for_again(cluster: Cluster, tmp_path: Path) -> None:
    _answer(cluster, "a", WEB)
    cluster.cut["a"] = 1000
    done = _run(cluster, tmp_path, "report", "--json")
    assert json.loads(done.stdout)["nodes"] == 1, done.stderr
    assert len(cluster.commands) == 2


MANY = [f"n{at:02}" for at in range(collection.MANY)]


def test_many_nodes_are_asked_through_one_kubectl(cluster: Cluster, tmp_path: Path) -> None:
    for node in MANY:
        _answer(cluster, node, WEB, *[workload(f"w{at}") for at in range(300)])
    done = _run(cluster, tmp_path, "report", "--json")
    found = json.loads(done.stdout)
    assert (found["nodes"], found["silent"], found["refused"]) == (len(MANY), [], []), done.stderr
    assert cluster.requests.count(("get", "pods/exec")) == len(MANY)
    assert cluster.containers == ["installer"] * len(MANY)
    assert ("get", "pods") not in cluster.requests  # kubectl exec asks for the pod first
    _answer(cluster, "n00")
    cluster.cut["n00"] = 1000
    done = _run(cluster, tmp_path, "report", "--json")
    assert json.loads(done.stdout)["nodes"] == len(MANY), done.stderr
    assert cluster.requests.count(("get", "pods")) == 1  # the second attempt is kubectl's own


def test_many_nodes_are_asked_through_one_kubectl_where_the_server_has_a_path(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.path = "/k8s/clusters/c-1"
    for node in MANY:
        _answer(cluster, node, WEB)
    done = _run(cluster, tmp_path, "report", "--json")
    found = json.loads(done.stdout or "{}")
    assert (found.get("nodes"), found.get("silent")) == (len(MANY), []), done.stderr
    assert cluster.requests.count(("get", "pods/exec")) == len(MANY)
    assert ("get", "pods") not in cluster.requests


def test_a_policy_reaches_many_nodes_whole(cluster: Cluster, tmp_path: Path) -> None:
    taken: dict[str, Any] = {"form": 1, "refused": None, "remarks": [], "changes": [], "changed": 0}
    cluster.answers |= dict.fromkeys(MANY, json.dumps(taken).encode())
    config = tmp_path / "config.toml"
    config.write_text(f"# {'é' * 100_000}\n")
    done = _run(cluster, tmp_path, "policy", "check", "--json", "-f", str(config))
    assert json.loads(done.stdout)["taken"] == len(MANY), done.stderr
    assert ("get", "pods") not in cluster.requests
    sent = {json.loads(one)["config.toml"] for one in cluster.given.values()}
    assert sent == {config.read_text()}


def test_where_no_websocket_comes_through_many_nodes_are_asked_one_by_one(
    cluster: Cluster, tmp_path: Path
) -> None:
    for node in MANY:
        _answer(cluster, node, WEB)
    cluster.refuses_first = True
    done = _run(cluster, tmp_path, "report", "--json")
    found = json.loads(done.stdout)
    assert found["nodes"] == len(MANY), found["silent"]
    assert cluster.requests.count(("get", "pods")) == len(MANY)


@pytest.mark.parametrize("way", ["variable", "kubeconfig"])
def test_nothing_goes_past_a_proxy_that_leads_to_the_cluster(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """kubectl's own proxy would: it connects to the API server itself for a WebSocket."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "kubeconfig")))
    if way == "variable":
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    else:
        words = ("config", "set-cluster", "c", "--proxy-url=http://127.0.0.1:1")
        subprocess.run(["kubectl", *words], check=True, capture_output=True, timeout=120)
    with exec_proxy.opened(kubectl.found(()), "runc-wrap") as at:
        assert at is None


def test_the_socket_is_the_caller_s_and_lets_exec_in_the_namespace_through_only(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "kubeconfig")))
    cluster.answers["a"] = b"{}"
    with exec_proxy.opened(kubectl.found(()), "runc-wrap") as at:
        assert at is not None
        assert at.parent.stat().st_mode & 0o777 == 0o700
        run = partial(exec_stream.run, at, given_up=threading.Event(), seconds=60, largest=99)
        assert run(("runc-wrap", "pod-a", "installer"), ["x"], b"").stdout == b"{}"
        for target in (
            ("shop", "pod-a", "installer"),
            ("runc-wrap", "../../shop/pods/pod-a", "installer"),
        ):
            with pytest.raises(KubectlError, match=r"does not let exec: HTTP/1[.]1 (403|301) "):
                run(target, ["x"], b"")
    assert not at.parent.exists()
    assert cluster.requests == [("get", "pods/exec")]


def test_the_proxy_ends_where_kubectl_is_a_script_that_waits_for_it(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those do that switch the context or fetch credentials first."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "kubeconfig")))
    script = tmp_path / "kubectl"
    script.write_text(f'#!/bin/sh\n{shutil.which("kubectl")} "$@"\nexit $?\n')
    script.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as connection:
        with exec_proxy.opened(kubectl.Kubectl(str(script)), "runc-wrap") as at:
            connection.connect(str(at))
        assert _is_closed(connection)


def _is_closed(connection: socket.socket) -> bool:
    """Wait until the other end is closed: before it accepted the connection, perhaps."""
    connection.settimeout(60)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def _signalled(process: subprocess.Popen[str], ending: str) -> None:
    """End it by a signal, or all that it started as well, as at the end of a login session."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGTERM if ending == "session" else signal.Signals[ending])
    for child in children if ending == "session" else ():
        os.kill(int(child), signal.SIGTERM)


@pytest.mark.parametrize("ending", ["SIGKILL", "SIGTERM", "SIGHUP", "session"])
def test_the_proxy_and_its_socket_go_with_a_plugin_that_is_killed(
    cluster: Cluster, tmp_path: Path, ending: str
) -> None:
    kubeconfig = cluster.kubeconfig(tmp_path / "kubeconfig")
    code = (
        "import time\nfrom runc_wrap.fleet import exec_proxy, kubectl\n"
        "with exec_proxy.opened(kubectl.found(()), 'runc-wrap') as at:\n"
        "    print(at, flush=True)\n    time.sleep(600)\n"
    )
    variables = {**environment(), "KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=variables, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                at = Path(process.stdout.readline().strip())
                connection.connect(str(at))
                _signalled(process, ending)
            finally:
                process.kill()
            assert _is_closed(connection)
    until = time.monotonic() + 60
    while at.parent.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_shipped_roles_allow_what_is_asked_and_little_else(
    cluster: Cluster, tmp_path: Path
) -> None:
    _answer(cluster, "a", WEB)
    nodes, pods, report = yaml.safe_load_all(RIGHTS.read_text())
    assert _run(cluster, tmp_path, "status").returncode == 1
    assert set(cluster.requests) == _allowed(nodes) | _allowed(pods)
    assert _run(cluster, tmp_path, "report").returncode == 1
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
