"""The metrics: the agent's file, as node_exporter meets it, and the pod that serves it."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.containers.bundles import Bundle
from harness.host.processes import attempt, run, wait_until
from harness.node import agent as agents
from harness.node.install import SOURCE, Installed
from harness.node.requirements import program, requires
from harness.shown import prometheus
from harness.shown.prometheus import Prometheus

USER, GROUP = 4242, 4243


def _as_user(group: int, file: Path) -> int:
    words = [program("setpriv"), f"--reuid={USER}", f"--regid={group}", "--clear-groups"]
    return attempt([*words, "cat", file]).returncode


def test_the_agent_writes_it_for_root_and_the_directorys_group(
    node: Installed,
) -> None:
    requires("setpriv", "promtool", root=True)
    file = node.prefix / "var" / "metrics" / "runc-wrap.prom"
    with agents.running(node):
        wait_until(file.exists, "the file")
        assert file.stat().st_mode & 0o777 == 0o640
        assert file.parent.stat().st_mode & 0o777 == 0o700
        assert run([program("promtool"), "check", "metrics"], stdin=file.read_text()).stdout == ""
        os.chown(file.parent, 0, GROUP)
        file.parent.chmod(0o2750)
        before = file.stat().st_mtime
        node.control("metrics")
        assert file.stat().st_mtime > before
        link = node.prefix / "link.prom"
        link.symlink_to(file)
        for parent in file.parents[2:]:
            parent.chmod(parent.stat().st_mode | 0o011)
            if parent.name.startswith("pytest-of"):
                break
        assert _as_user(GROUP, link) == 0
        assert _as_user(USER, link) != 0


def test_without_an_agent_the_command_leaves_the_file_alone(node: Installed) -> None:
    node.control("metrics")
    assert not (node.prefix / "var" / "metrics" / "runc-wrap.prom").exists()


def test_when_it_was_written_is_in_it(node: Installed) -> None:
    begin = time.time()
    text = node.control("metrics").stdout
    (line,) = (one for one in text.splitlines() if one.startswith("runc_wrap_metrics_written"))
    assert begin <= float(line.split()[1]) <= time.time()


Json = dict[str, Any]

MONITOR = SOURCE / "deploy" / "kubernetes" / "metrics" / "podmonitor" / "podmonitor.yaml"
RULES = SOURCE / "deploy" / "monitoring" / "rules.yaml"
DISCOVERED = {
    "__meta_kubernetes_namespace": "runc-wrap",
    "__meta_kubernetes_pod_name": "runc-wrap-x7k2p",
    "__meta_kubernetes_pod_container_name": "metrics",
    "__meta_kubernetes_pod_node_name": "n1",
}
# What the Prometheus Operator writes before a PodMonitor's own relabelings
# (prometheus-operator, pkg/prometheus/promcfg.go, generatePodMonitorConfig).
OPERATOR: list[Json] = [
    {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
    {"source_labels": ["__meta_kubernetes_pod_container_name"], "target_label": "container"},
    {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
    {"target_label": "endpoint", "replacement": "metrics"},
]
PLAIN = "without the relabelings"


@dataclass(frozen=True)
class Scene:
    """A node, its pod's container that serves at `port`, and a Prometheus that scrapes that."""

    node: Installed
    server: Prometheus
    state: Path
    port: int
    end_agent: Callable[[], None]


def _own_relabelings() -> list[Json]:
    (endpoint,) = yaml.safe_load(MONITOR.read_text())["spec"]["podMetricsEndpoints"]
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return [{names.get(key, key): value for key, value in one.items()}
            for one in endpoint["relabelings"]]  # fmt: skip


@pytest.fixture
def scene(node: Installed, make_bundle: Callable[..., Bundle], tmp_path: Path) -> Iterator[Scene]:
    requires("prometheus", "runc", root=True)
    node.configure('runtime = ["runc"]\n[default]\nmode = "observe"\n')
    (tmp_path / "data").mkdir()
    with ExitStack() as running:
        agent_running = running.enter_context(ExitStack())
        agent_running.enter_context(agents.running(node)).wait_ready()
        node.control("metrics")  # has the file written, which the agent does every 30 s
        pod = prometheus.metrics_pod(node, tmp_path / "pod", "ready", has_agent=True)
        port = running.enter_context(pod)
        relabelings = [*OPERATOR, *_own_relabelings()]
        jobs = [
            prometheus.job("runc-wrap/runc-wrap", port, DISCOVERED, relabelings),
            prometheus.job(PLAIN, port, DISCOVERED, OPERATOR),
        ]
        server = running.enter_context(prometheus.running(tmp_path / "data", port, 5, jobs))
        observed = make_bundle("runc")
        observed.create(node.wrapper)
        observed.call(node.wrapper, "exec", after=("/bin/busybox", "unshare", "-m", "true"))
        node.control("metrics")
        yield Scene(node, server, tmp_path / "pod" / "state", port, agent_running.close)


def _curl(port: int) -> str:
    words = [program("curl"), "--silent", "--fail", "--noproxy", "*", "--max-time", "20"]
    words.append(f"http://127.0.0.1:{port}/metrics")
    return attempt(words).stdout


def _expressions() -> dict[str, str]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def _labels(samples: list[Json]) -> list[Json]:
    return [{name: value for name, value in one["metric"].items() if name != "__name__"}
            for one in samples]  # fmt: skip


def _until(
    server: Prometheus, expression: str, holds: Callable[[list[Json]], bool] = bool
) -> list[Json]:
    """Wait until the labels of an expression's samples are so, and return them.

    A scrape that takes too long, on a machine with other work, leaves gaps.
    """
    found: list[Json] = []

    def look() -> bool:
        found[:] = _labels(server.query(expression))
        return holds(found)

    wait_until(look, expression, 90)
    return found


def test_prometheus_has_the_nodes_metrics_by_its_name_and_misses_an_agent(
    scene: Scene,
) -> None:
    server, ours = scene.server, 'job="runc-wrap/runc-wrap"'
    node = {"instance": "n1", "job": "runc-wrap/runc-wrap"}
    assert _until(server, f"runc_wrap_agent_up{{{ours}}} == 1") == [node]
    assert _until(server, f"runc_wrap_node_state{{{ours}}} == 1") == [{**node, "state": "ready"}]

    # Nothing vouches for a pod here, so the agent gives the namespace as "", which is no label.
    denied = 'runc_wrap_denied_calls_total{outcome="denied",syscall="unshare",job="%s"}'
    (call,) = _until(server, denied % "runc-wrap/runc-wrap")
    assert {*call} == {"workload", "syscall", "outcome", "instance", "job"}
    (line,) = re.findall(
        r'runc_wrap_denied_calls_total\{.*"denied",syscall="unshare".*\}', _curl(scene.port)
    )
    assert 'namespace=""' in line
    assert f'workload="{call["workload"]}"' in line

    # Without the relabelings the call is of our namespace, and a new series with each new pod.
    (other,) = _until(server, denied % PLAIN)
    assert other["namespace"] == "runc-wrap"
    assert other["pod"] == "runc-wrap-x7k2p"

    raised = _expressions()
    whose = {"workload": call["workload"], "syscall": "unshare"}
    _until(server, raised["RuncWrapWorkloadWouldBreak"], lambda found: whose in found)
    for quiet in ("RuncWrapNotAnswering", "RuncWrapNodeNotReady", "RuncWrapPolicyNotInForce"):
        _until(server, raised[quiet], lambda found: not found)

    scene.state.write_text("reverted")
    scene.end_agent()
    file = scene.node.prefix / "var" / "metrics" / "runc-wrap.prom"
    os.utime(file, (0, time.time() - 200))  # as if it had ended earlier
    assert _until(server, f"runc_wrap_agent_up{{{ours}}} == 0") == [node]
    for alert in ("RuncWrapNotAnswering", "RuncWrapNodeNotReady"):
        _until(server, raised[alert], lambda found: node in found)
    assert _until(server, f"up{{{ours}}} == 1") == [node]  # the pod answers by itself
