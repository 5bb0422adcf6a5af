"""Engines that asked the runtime's features before the runtime was changed.

containerd and CRI-O run `runc features` once for each handler, when they start, and give the
kubelet the answer. The kubelet refuses by it: pods with hostUsers false, or with recursive
read-only mounts, wait until an engine that was started with runc 1.1 is started again, although
1.5 does the work. Sources: containerd internal/cri/server/service.go (introspectRuntimeHandler);
cri-o pkg/config/config.go (initializeRuntimeFeatures); kubernetes
pkg/kubelet/userns/userns_manager.go.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.engines import engine_query
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import registration_state
from runc_wrap.host import procfs, socket_peers
from runc_wrap.node import installed_programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.engines.kinds.engine_kind import Installation
    from runc_wrap.node.paths import Places

ENGINES = ("containerd", "crio")


def stale(places: Places) -> list[Installation]:
    """Return the engines with a handler of ours that were started before the runtime changed."""
    since = runtime_changed(places)
    return [found for found in _registered(places) if started(found) < since]


def remarks(places: Places) -> list[str]:
    """Return what `apply` says of them."""
    return [
        f"warning: {found} asked for the runtime's features when it started, and the runtime has "
        f"changed since; restart it: {restart(found)}"
        for found in stale(places)
    ]


def restart(found: Installation) -> str:
    """Return the command that starts an engine again."""
    return f"systemctl restart {found.unit.removesuffix('.service')}"


def _registered(places: Places) -> Iterator[Installation]:
    try:
        states = registration_state.states(places.engines)
    except (EngineError, OSError):  # `engine list` reports it
        return
    for state in states:
        if state["engine"] in ENGINES and state["handlers"]:
            yield engine_query.installation(state["engine"], Path(state["config"]))


def runtime_changed(places: Places) -> float:
    """Return when the runtime was last changed, in seconds since the epoch; 0.0 if there is none.

    That is a switch to another program, or an upgrade of the program.
    """
    kind = installed_programs.kind_in_force(places.runtime)
    try:
        link = places.runtime / str(kind)
        return max(link.lstat().st_mtime, link.stat().st_ctime)
    except OSError:
        return 0.0


def started(found: Installation) -> float:
    """Return when the engine that answers at its socket was started; infinity if none does."""
    pid = socket_peers.listener(str(engine_query.answers_at(found)))
    age = procfs.age(pid) if pid else None
    return float("inf") if age is None else time.time() - age
