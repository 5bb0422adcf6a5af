"""Every query of Grafana's dashboard, on a Prometheus that scraped an agent with containers."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.containers.bundles import Bundle
from harness.host.processes import wait_until
from harness.node import agent as agents
from harness.node import install
from harness.node.requirements import requires
from harness.shown import prometheus
from harness.shown.prometheus import Prometheus

Json = dict[str, Any]

SCRAPES = 5  # seconds between them, each of which may take as long
DENIED = 'runc_wrap_denied_calls_total{syscall="unshare",outcome="denied"}'
BEFORE = f"offset {SCRAPES + 1}s"
DASHBOARD = Path(__file__).resolve().parents[3] / "deploy" / "monitoring" / "dashboard.json"
# What Grafana fills in
VARIABLES = {"$__rate_interval": "1m", "$__range": "5m", "$instance": ".*", "$namespace": ".*"}
# The first panels' numbers; a counter's first value is no increase
NUMBERS = {
    **dict.fromkeys(("Nodes", "Agents that do not answer", "Nodes not ready"), 1),
    **dict.fromkeys(("Without a policy", "Started unmodified", "Blind sources"), 0),
}


def _queries(panel: Json) -> list[str]:
    found = []
    for target in panel["targets"]:
        query = target["expr"]
        for name, value in VARIABLES.items():
            query = query.replace(name, value)
        assert "$" not in query, query
        found.append(query)
    return found


@pytest.fixture
def scraped(
    node: install.Installed, make_bundle: Callable[..., Bundle], tmp_path: Path
) -> Iterator[Prometheus]:
    """A Prometheus and an agent that has seen an opt-out and a call that is not let through.

    It is scraped through the pod of the node n1; on n2, which is refused, there is no agent.
    """
    requires("prometheus", "runc", root=True)
    node.configure('runtime = ["runc"]\n[default]\nmode = "observe"\n')
    with ExitStack() as running:
        running.enter_context(agents.running(node)).wait_ready()
        jobs = []
        for name, state in (("n1", "ready"), ("n2", "refused")):
            pod = prometheus.metrics_pod(node, tmp_path / name, state, has_agent=name == "n1")
            port = running.enter_context(pod)
            jobs.append(prometheus.job(name, port, {"instance": name}, []))
        server = running.enter_context(prometheus.running(tmp_path, port, SCRAPES, jobs))
        node.control("metrics")  # has the file written, which the agent does every 30 s
        wait_until(lambda: server.query("runc_wrap_build_info") != [], "a first scrape", 60)
        make_bundle("runc", {"runc-wrap/seccomp": "unconfined"}).create(node.wrapper)
        observed = make_bundle("runc")
        observed.create(node.wrapper)
        observed.call(node.wrapper, "exec", after=("/bin/busybox", "unshare", "-m", "true"))
        node.control("metrics")
        yield server


def _answers(server: Prometheus) -> dict[str, list[list[Json]]]:
    return {
        panel["title"]: [server.query(query) for query in _queries(panel)]
        for panel in json.loads(DASHBOARD.read_text())["panels"]
    }


def test_every_query_has_an_answer(scraped: Prometheus) -> None:
    found: dict[str, list[list[Json]]] = {}

    def are_all_there() -> bool:
        """A scrape that takes too long, on a machine with other work, leaves a gap."""
        found.update(_answers(scraped))
        if not all(all(panel) for panel in found.values()):
            return False
        is_counted = float(found["Opted out"][0][0]["value"][1]) > 0
        return is_counted and scraped.query(f"{DENIED} {BEFORE}") != []

    wait_until(are_all_there, "an answer to every query", 120)
    for title, wanted in NUMBERS.items():
        assert float(found[title][0][0]["value"][1]) == wanted, title
    assert {row["metric"]["via"] for row in found["Decisions, by who made them"][0]} == {"agent"}
    assert scraped.label_values("runc_wrap_build_info", "instance") == ["n1"]
    states = found["Nodes, by the state of the installer"][0]
    shown = {row["metric"]["state"]: row["value"][1] for row in states}
    assert shown == {"ready": "1", "refused": "1"}
    (other,) = found["Nodes that are in another state than ready"][0]
    assert other["metric"] == {"instance": "n2", "state": "refused"}
