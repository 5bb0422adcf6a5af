"""Every query of Grafana's dashboard, on a Prometheus that scraped an agent with containers."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness.cluster import metrics_pod
from harness.host.processes import wait_until
from harness.node import agent as agents
from harness.node.requirements import requires
from harness.shown import prometheus
from runc_wrap.metrics import pod_series, prometheus_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.containers.bundles import Bundle
    from harness.node import install
    from harness.shown.prometheus import Prometheus

Json = dict[str, Any]

SCRAPES = 5  # seconds between them, each of which may take as long
BEFORE = f"offset {SCRAPES + 1}s"
DASHBOARD = Path(__file__).resolve().parents[3] / "deploy" / "monitoring" / "dashboard.json"
# What Grafana fills in
VARIABLES = {
    "$__rate_interval": "1m",
    "$__range": "5m",
    "$instance": ".*",
    "$namespace": ".*",
}
# The first panels' numbers; a counter's first value is no increase
NUMBERS = {
    "Nodes": 1,
    "Without a policy": 0,
    "Started unmodified": 0,
    "Blind sources": 0,
    "Agents that do not answer": 1,
    "Nodes not ready": 1,
}


def _dashboard() -> Json:
    found: Json = json.loads(DASHBOARD.read_text())
    return found


def _expressions() -> dict[str, str]:
    """Return the expressions of the alerts that stand beside the dashboard."""
    (group,) = yaml.safe_load((DASHBOARD.parent / "rules.yaml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


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
            pod = metrics_pod.running(node, tmp_path / name, state, has_agent=name == "n1")
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
        for panel in _dashboard()["panels"]
    }


def test_every_query_has_an_answer(scraped: Prometheus) -> None:
    found: dict[str, list[list[Json]]] = {}

    def are_all_there() -> bool:
        """A scrape that takes too long, on a machine with other work, leaves a gap."""
        found.update(_answers(scraped))
        return (
            all(all(panel) for panel in found.values())
            and scraped.query(f'runc_wrap_denied_calls_total{{syscall="unshare"}} {BEFORE}') != []
            and float(found["Opted out"][0][0]["value"][1]) > 0
        )

    wait_until(are_all_there, "an answer to every query", 120)
    for title, wanted in NUMBERS.items():
        assert float(found[title][0][0]["value"][1]) == wanted, title
    (denied,) = [
        row["metric"]
        for row in found["Calls that a profile does not let through"][0]
        if row["metric"]["syscall"] == "unshare"
    ]
    assert denied["outcome"] == "denied"
    assert {row["metric"]["via"] for row in found["Decisions, by who made them"][0]} == {"agent"}
    reasons = {row["metric"]["reason_kind"] for row in found["Decisions, by reason"][0]}
    assert reasons == {"opted-out", "default"}
    assert scraped.label_values("runc_wrap_build_info", "instance") == ["n1"]
    states = found["Nodes, by the state of the installer"][0]
    assert {row["metric"]["state"]: row["value"][1] for row in states} == {
        "ready": "1",
        "refused": "1",
    }
    (other,) = found["Nodes that are in another state than ready"][0]
    assert other["metric"] == {"instance": "n2", "state": "refused"}


def test_variables_are_labels_that_metrics_have() -> None:
    variables = {one["name"]: one for one in _dashboard()["templating"]["list"]}
    assert list(variables) == ["datasource", "instance", "namespace"]
    assert variables["instance"]["definition"] == "label_values(runc_wrap_build_info, instance)"
    metric, _, labels = prometheus_text.COUNTERS[prometheus_text.DENIED_CALLS]
    assert variables["namespace"]["definition"] == f"label_values({metric}_total, {labels[0]})"


def test_every_metric_of_ours_is_shown() -> None:
    text = DASHBOARD.read_text()
    counters = [f"{name}_total" for name, _, _ in prometheus_text.COUNTERS.values()]
    gauges = ["runc_wrap_build_info", "runc_wrap_policy_generation", prometheus_text.SEEING,
              pod_series.UP, pod_series.STATE]  # fmt: skip
    assert set(re.findall(r"runc_wrap_\w+", text)) == {*counters, *gauges}
    assert "127.0.0.1" not in text
    assert _dashboard()["uid"] == "runc-wrap"
    (well,) = set(re.findall(r'state=~\\"([a-z|-]+)\\"', text))
    assert {*well.split("|")} < {*pod_series.STATES}
    assert f'state=~"{well}"' in _expressions()["RuncWrapNodeNotReady"]


def test_panels_do_not_overlap_and_name_their_source() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _dashboard()["panels"]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        assert max(columns) < 24
        taken |= cells
        assert {
            panel["datasource"]["uid"],
            *(t["datasource"]["uid"] for t in panel["targets"]),
        } == {"${datasource}"}
        assert panel["description"]
