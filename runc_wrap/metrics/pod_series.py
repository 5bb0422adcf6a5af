"""The gauges of a cluster's pod: whether the node's agent answers, and the installer's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from runc_wrap.node.cluster import next_step

if TYPE_CHECKING:
    from collections.abc import Iterable

UP, STATE = "runc_wrap_agent_up", "runc_wrap_node_state"
UNKNOWN = "unknown"  # the installer of this pod has said nothing yet
STATES = (*next_step.STATES, UNKNOWN)


class PodSeries(Collector):
    """Present values: `word` is the installer's state; whatever is none of STATES is unknown."""

    def __init__(self, word: str, *, is_up: bool) -> None:
        self._word = word if word in STATES else UNKNOWN
        self._is_up = is_up

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the families; of the states one has the value 1."""
        yield GaugeMetricFamily(UP, "1 if the node's agent gave its metrics.", value=self._is_up)
        state = GaugeMetricFamily(STATE, "1 for the installer's state, else 0.", labels=["state"])
        for each in STATES:
            state.add_metric([each], each == self._word)
        yield state


def exposition(found: PodSeries) -> bytes:
    """Return Prometheus' text format, version 0.0.4."""
    made = CollectorRegistry(auto_describe=False)
    made.register(found)
    return generate_latest(made)
