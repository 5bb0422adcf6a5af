"""The file with this node's metrics, and the program of the agent that writes it.

    var/metrics/runc-wrap.prom    readable by root, and by the group of its directory if that has
                                  the setgid bit

node_exporter's textfile collector reads it by a link, a cluster's pod by a mount.
"""

import os
from _signal import alarm  # type: ignore[import-not-found]
from pathlib import Path

from runc_wrap.host import files
from runc_wrap.node.paths import Places

NAME = "runc-wrap.prom"
NICE = 10
DEADLINE = 25  # seconds: before the next one is due
_AGENT_SECONDS = 1.0  # for the agent to write its evidence, which it can while this runs
_MODE = 0o640


def path(places: Places) -> Path:
    """Return the file's path."""
    return places.var / "metrics" / NAME


def write(places: Places, text: bytes) -> None:
    """Write the file at once. Raises OSError."""
    files.replace(path(places), text, _MODE, is_synced=False)


def main(prefix: str) -> None:
    """Write the file, at a low priority from the first import on; exit with 1 if unreadable."""
    os.setpriority(os.PRIO_PROCESS, 0, max(os.getpriority(os.PRIO_PROCESS, 0), NICE))
    alarm(DEADLINE)
    # most of the CPU time
    from runc_wrap.metrics import metrics_collector, prometheus_series  # noqa: PLC0415
    from runc_wrap.node import flush_request  # noqa: PLC0415

    places = Places(Path(prefix))
    flush_request.ask(places, _AGENT_SECONDS)
    try:
        write(places, prometheus_series.text_of(metrics_collector.gather(places)))
    except OSError:
        os._exit(1)
    os._exit(0)  # freeing all evidence, object by object, takes 5 ms
