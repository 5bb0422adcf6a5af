"""Whether the seccomp listener of each container in observe is still open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.doctor import commands
from runc_wrap.doctor.check_finding import Finding
from runc_wrap.engines import registry
from runc_wrap.node.container_state import lost_listeners, node_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.container_state.node_status import Entry
    from runc_wrap.node.paths import Places

NAME = "listeners"
_MOST = 10


def find(places: Places) -> Iterator[Finding]:
    """Find containers whose watched calls fail, since their agent ended and closed the listener."""
    try:
        node = lost_listeners.mark(node_status.gather(places.ledger), places)
    except OSError as error:
        sentence = f"the ledger cannot be read: {error.strerror}"
        remedy = f"check {places.ledger}; or run this as root"
        yield Finding(NAME, "warning", sentence, remedy, commands.line("ls", "-la", places.ledger))
        return
    unheard = [entry for entry in node.entries if entry.unheard]
    for entry in unheard[:_MOST]:
        name = entry.container.id
        sentence = f"the seccomp listener of the container {name}, in mode observe, was closed: "
        sentence += "each call that its profile would deny fails with ENOSYS"
        yield Finding(NAME, "warning", sentence, lost_listeners.REMEDY, _restart(places, entry))
    if len(unheard) > _MOST:
        sentence = f"the same holds for other containers: {len(unheard) - _MOST}"
        remedy, command = (
            "run runc-wrapctl verify, which names them",
            commands.ctl(places, "verify"),
        )
        yield Finding(NAME, "warning", sentence, remedy, command)


def _restart(places: Places, entry: Entry) -> str:
    """Return the engine's command; the kubelet starts a stopped container of a pod again."""
    engine = entry.record.engine if entry.record else None
    container = entry.container
    client = registry.ENGINES[engine].client if engine in registry.ENGINES else ""
    if client:
        return commands.line(client, "restart", container.id)
    if entry.record and entry.record.pod:
        return commands.line("crictl", "stop", container.id)
    return commands.line(places.wrapper, "--root", container.root, "kill", container.id, "KILL")
