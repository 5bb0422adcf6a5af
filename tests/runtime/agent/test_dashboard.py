"""Every query of Grafana's dashboard, on a Prometheus that scraped an agent with containers."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.host.processes import wait_until
from harness.node import agent as agents
from harness.node.requirements import requires
from harness.shown import prometheus
from runc_wrap.metrics import prometheus_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.containers.bundles import Bundle
    from harness.node import install
    from harness.shown.prometheus import Prometheus

Json = dict[str, Any]

DASHBOARD = Path(__file__).resolve().parents[3] / "deploy" / "monitoring" / "dashboard.json"
# What Grafana fills in
VARIABLES = {
    "$__rate_interval": "1m",
    "$__range": "5m",
    "$instance": ".*",
    "$namespace": ".*",
}
# The first panels' numbers; a counter's first value is no increase
NUMBERS = {"Nodes": 1, "Without a policy": 0, "Started unmodified": 0, "Blind sources": 0}


def _dashboard() -> Json:
    found: Json = json.loads(DASHBOARD.read_text())
    return found


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
    """A Prometheus and an agent that has seen an opt-out and a call that is not let through."""
    requires("prometheus", "runc", root=True)
    node.configure('runtime = ["runc"]\n[default]\nmode = "observe"\n')
    port = prometheus.free_port()
    with ExitStack() as running:
        agent = running.enter_context(
            agents.running(node, flags=["--metrics", f"127.0.0.1:{port}"])
        )
        agent.wait_ready()
        server = running.enter_context(prometheus.running(tmp_path, port))
        wait_until(lambda: server.query("runc_wrap_build_info") != [], "a first scrape", 60)
        make_bundle("runc", {"runc-wrap/seccomp": "unconfined"}).create(node.wrapper)
        observed = make_bundle("runc")
        observed.create(node.wrapper)
        observed.call(node.wrapper, "exec", after=("/bin/busybox", "unshare", "-m", "true"))
        yield server


def _answers(server: Prometheus) -> dict[str, list[list[Json]]]:
    return {
        panel["title"]: [server.query(query) for query in _queries(panel)]
        for panel in _dashboard()["panels"]
    }


def test_every_query_has_an_answer(scraped: Prometheus) -> None:
    def are_all_there() -> bool:
        return (
            all(all(panel) for panel in _answers(scraped).values())
            and scraped.query('runc_wrap_denied_calls_total{syscall="unshare"} offset 2s') != []
            and float(_answers(scraped)["Opted out"][0][0]["value"][1]) > 0
        )

    wait_until(are_all_there, "an answer to every query", 90)
    found = _answers(scraped)
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
    assert len(scraped.label_values("runc_wrap_build_info", "instance")) == 1


def test_variables_are_labels_that_metrics_have() -> None:
    variables = {one["name"]: one for one in _dashboard()["templating"]["list"]}
    assert list(variables) == ["datasource", "instance", "namespace"]
    assert variables["instance"]["definition"] == "label_values(runc_wrap_build_info, instance)"
    metric, _, labels = prometheus_text.COUNTERS[prometheus_text.DENIED_CALLS]
    assert variables["namespace"]["definition"] == f"label_values({metric}_total, {labels[0]})"


def test_every_metric_of_ours_is_shown() -> None:
    text = DASHBOARD.read_text()
    counters = [f"{name}_total" for name, _, _ in prometheus_text.COUNTERS.values()]
    gauges = ["runc_wrap_build_info", "runc_wrap_policy_generation", prometheus_text.SEEING]
    assert set(re.findall(r"runc_wrap_\w+", text)) == {*counters, *gauges}
    assert "127.0.0.1" not in text
    assert _dashboard()["uid"] == "runc-wrap"


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
