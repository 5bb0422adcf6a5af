"""The program that writes the metrics to standard output, their content type first, and ends.

It reads no request. It ends after DEADLINE whatever happens.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from prometheus_client.exposition import choose_encoder

from runc_wrap.metrics import node_metrics, prometheus_text
from runc_wrap.node import agent_flush
from runc_wrap.node.paths import Places

DEADLINE = 10  # seconds
_AGENT_SECONDS = 1.0  # for the agent to write its evidence, which it can while this runs


def main(prefix: str, accepted: str) -> None:
    """Write the metrics in the format for this Accept value; exit with 1 if unreadable."""
    signal.alarm(DEADLINE)
    encode, content_type = choose_encoder(accepted)
    places = Places(Path(prefix))
    agent_flush.ask(places, _AGENT_SECONDS)
    try:
        text = encode(prometheus_text.registry(node_metrics.gather(places)))
    except OSError:
        os._exit(1)
    sys.stdout.buffer.write(content_type.encode() + b"\n" + text)
    sys.stdout.flush()
