"""Engines that asked the runtime's features before the runtime was changed.

containerd and CRI-O run `runc features` once for each handler, when they start, and give the
kubelet the answer. The kubelet refuses by it: pods with hostUsers false, or with recursive
read-only mounts, wait until an engine that was started with runc 1.1 is started again, although
1.5 does the work. Sources: containerd internal/cri/server/service.go (introspectRuntimeHandler);
cri-o pkg/config/config.go (initializeRuntimeFeatures); kubernetes
pkg/kubelet/userns/userns_manager.go.
"""

import time

from runc_wrap.engines import engine_registry
from runc_wrap.engines.cri_engine import CriEngine
from runc_wrap.engines.registration import registration_state
from runc_wrap.host import procfs, socket_peers
from runc_wrap.node import installed_programs
from runc_wrap.node.paths import Places


def stale(places: Places) -> list[CriEngine]:
    """Return the engines with our handlers that were started before the runtime changed."""
    since = runtime_changed(places)
    states = [state for state in registration_state.readable(places.engines) if state.handlers]
    found = (engine_registry.at(state.engine, state.config) for state in states)
    return [one for one in found if isinstance(one, CriEngine) and started(one) < since]


def remarks(places: Places) -> list[str]:
    """Return what `apply` says of them."""
    return [
        f"warning: {found} asked for the runtime's features when it started, and the runtime has "
        f"changed since; restart it: {found.reload_command()}"
        for found in stale(places)
    ]


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


def started(found: CriEngine) -> float:
    """Return when the engine that answers at its socket was started; infinity if none does."""
    pid = socket_peers.listener(str(found.answers_at()))
    age = procfs.age(pid) if pid else None
    return float("inf") if age is None else time.time() - age
