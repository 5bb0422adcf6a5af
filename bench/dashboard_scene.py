"""A node for the dashboard's picture: a real agent, scraped by a real Prometheus, and containers.

It is scraped through a cluster's pod, beside that of a node which the installer has refused.

Containers are created with runc for some minutes. Some opt out, some make calls that the profile
does not let through; in between a policy is applied. No engine vouches for their pods' names, so
the dashboard has them by their ids.
"""

from __future__ import annotations

import contextlib
import random
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.cluster import metrics_pod
from harness.containers import bundles
from harness.host.processes import short_directory, wait_until
from harness.node import agent as agents
from harness.node import install
from harness.node.requirements import program
from harness.shown import prometheus

if TYPE_CHECKING:
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from harness.node.install import Installed
    from harness.shown.prometheus import Prometheus

Json = dict[str, Any]
POLICY = 'runtime = ["runc"]\n[default]\nmode = "observe"\n'
LATER = f'{POLICY}[[rule]]\nname = "look first"\nnamespace = ["batch"]\nmode = "audit"\n'
# annotations, and what the container calls that is not let through
KINDS: tuple[tuple[dict[str, str], tuple[str, ...]], ...] = (
    ({}, ("unshare", "-m", "true")),
    ({}, ("mount", "-t", "tmpfs", "none", "/tmp")),  # noqa: S108 - the container's
    ({}, ("unshare", "-u", "true")),
    ({}, ()),
    ({"runc-wrap/seccomp": "unconfined"}, ()),
    ({}, ()),
)
_NODES = (("n1", "ready"), ("n2", "refused"))  # the first has the agent
_PAUSE = 2.0  # seconds between two containers, about
_STEPS = 120  # points of a curve
_RATE = "40s"
_SCRAPES = 5  # seconds between them, each of which may take as long: an agent on a busy machine
_LAST = (  # what the end of the time shown has to have
    "runc_wrap_build_info and on (instance) runc_wrap_policy_generation",
    "runc_wrap_denied_calls_total",
    "runc_wrap_opted_out_total > 0",
)


@dataclass(frozen=True)
class Answered:
    """A panel, and for each of its queries the series: {labels, legend, [(epoch, value)]}."""

    panel: Json
    series: list[tuple[Json, str, list[tuple[float, float]]]]


@dataclass(frozen=True)
class Shown:
    """All panels, of how many seconds, and how many containers were created in that time."""

    panels: list[Answered]
    begin: float
    end: float
    containers: int


def shown(dashboard: Json, seconds: float) -> Shown:
    """Run the node for so long and return what the dashboard's panels show then."""
    with contextlib.ExitStack() as running:
        place = running.enter_context(short_directory("shown"))
        node = install.install(place / "p")
        node.configure(POLICY)
        running.enter_context(agents.running(node)).wait_ready()
        jobs = []
        for name, state in _NODES:
            pod = metrics_pod.running(node, place / name, state, has_agent=name == _NODES[0][0])
            port = running.enter_context(pod)
            jobs.append(prometheus.job(name, port, {"instance": name}, []))
        server = running.enter_context(prometheus.running(place, port, _SCRAPES, jobs))
        wait_until(lambda: server.query("runc_wrap_build_info") != [], "a first scrape", 60)
        begin = time.time()
        count = _busy(node, place, seconds)
        wait_until(lambda: all(map(server.query, _LAST)), "a last scrape", 60)
        end = time.time()
        panels = [_answered(server, panel, (begin, end)) for panel in dashboard["panels"]]
        return Shown(panels, begin, end, count)


def _busy(node: Installed, place: Path, seconds: float) -> int:
    """Create containers for so long, then remove them; return how many."""
    chosen = random.Random(7)  # noqa: S311 - not for a secret
    until, half, is_changed = time.monotonic() + seconds, seconds / 2, False
    made: list[Bundle] = []
    try:
        while time.monotonic() < until:
            if not is_changed and time.monotonic() > until - half:
                node.configure(LATER)
                is_changed = True
            made.append(_created(node, place / f"b{len(made)}", chosen))
            time.sleep(chosen.uniform(0.2, 2 * _PAUSE))
    finally:
        for bundle in made:
            bundle.delete(program("runc"))
    return len(made)


def _created(node: Installed, place: Path, chosen: random.Random) -> Bundle:
    annotations, calls = chosen.choice(KINDS)
    bundle = bundles.make(place, "runc", {**annotations})
    bundle.create(node.wrapper)
    if calls:
        bundle.call(node.wrapper, "exec", after=("/bin/busybox", *calls))
    return bundle


def _answered(server: Prometheus, panel: Json, span: tuple[float, float]) -> Answered:
    begin, end = span
    variables = {
        "$__rate_interval": _RATE,
        "$__range": f"{round(end - begin)}s",
        "$instance": ".*",
        "$namespace": ".*",
    }
    found = []
    for target in panel["targets"]:
        query = target["expr"]
        for name, value in variables.items():
            query = query.replace(name, value)
        if target["instant"]:
            rows = [{**one, "values": [one["value"]]} for one in server.query(query)]
        else:
            step = (end - begin) / _STEPS
            rows = server.query_range(query, (begin, end, step))
        for row in rows:
            points = [(float(at), float(value)) for at, value in row["values"]]
            found.append((row["metric"], _legend(target["legendFormat"], row["metric"]), points))
    return Answered(panel, found)


def _legend(form: str, labels: Json) -> str:
    """Return a series' name as Grafana makes it; `{{label}}` is a label's value."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), form).strip()
