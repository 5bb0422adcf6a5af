"""Whether the seccomp listener of each container in observe is still open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.node import lost_listeners, status
from runc_wrap.node.doctor.check_finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "listeners"
_MOST = 10


def find(places: Places) -> Iterator[Finding]:
    """Find containers whose watched calls fail, since their agent ended and closed the listener."""
    try:
        node = lost_listeners.mark(status.gather(places.ledger), places)
    except OSError as error:
        sentence = f"the ledger cannot be read: {error.strerror}"
        yield Finding(NAME, "warning", sentence, f"check {places.ledger}; or run this as root")
        return
    unheard = [entry.container.id for entry in node.entries if entry.unheard]
    for name in unheard[:_MOST]:
        sentence = f"the seccomp listener of the container {name}, in mode observe, was closed: "
        sentence += "each call that its profile would deny fails with ENOSYS"
        yield Finding(NAME, "warning", sentence, lost_listeners.REMEDY)
    if len(unheard) > _MOST:
        sentence = f"the same holds for {len(unheard) - _MOST} more containers"
        yield Finding(NAME, "warning", sentence, "run runc-wrapctl verify, which names them")
