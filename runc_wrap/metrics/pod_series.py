"""The gauges of a cluster's pod: whether the node's agent answers, and the installer's state."""

from __future__ import annotations

from runc_wrap.cluster import next_step
from runc_wrap.metrics.prometheus_text import GAUGE, MetricFamily, text_of

UP, STATE = "runc_wrap_agent_up", "runc_wrap_node_state"
UNKNOWN = "unknown"  # the installer of this pod has said nothing yet
STATES = (*next_step.STATES, UNKNOWN)


def exposition(word: str, *, is_up: bool) -> bytes:
    """Return the text; `word` is the installer's state: whatever is none of STATES is unknown."""
    word = word if word in STATES else UNKNOWN
    up = MetricFamily(UP, GAUGE, "1 if the node's agent writes its metrics.", [({}, is_up)])
    states = [({"state": each}, each == word) for each in STATES]
    return text_of([up, MetricFamily(STATE, GAUGE, "1 for the installer's state, else 0.", states)])
