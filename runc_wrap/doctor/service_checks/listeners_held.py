"""Whether the seccomp listener of each container in observe is still open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.doctor.remedies import Finding
from runc_wrap.node.container_state import container_status, lost_listeners

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "listeners"


def find(places: Places) -> Iterator[Finding]:
    """Find containers whose watched calls fail, since their agent ended and closed the listener."""
    try:
        node = lost_listeners.mark(container_status.gather(places.ledger), places)
    except OSError as error:
        sentence = f"the ledger cannot be read: {error.strerror}"
        yield Finding(NAME, "warning", sentence, f"check {places.ledger}; or run this as root")
        return
    for entry in (one for one in node.entries if one.unheard):
        name = entry.container.id
        sentence = f"the seccomp listener of the container {name} was closed: "
        sentence += "each call that the agent would answer fails with ENOSYS"
        yield Finding(NAME, "warning", sentence, lost_listeners.REMEDY)
