"""Which containers still need the handler, by the names that Kubernetes knows: asked on the host.

In doubt there are some: an engine that does not say which pods it has keeps everything in place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.engines import dependent_container, handler_removal, probe_container
from runc_wrap.engines.cri import cri_runtime
from runc_wrap.engines.registration import registration_state
from runc_wrap.installation import uninstall_obstacles
from runc_wrap.ledger import whole_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runc_wrap.engines.dependent_container import Dependent
    from runc_wrap.node.paths import Places

# a canary that was left, as cri_runtime names it: the next change of the engine removes it
_CANARY = re.compile(rf"{cri_runtime.NAMESPACE}/{probe_container.CANARY}-[0-9a-f]{{8}}").fullmatch
_MOST = 10  # names in a sentence


def reason(places: Places) -> str:
    """Return why the handler has to stay, "" if no container needs it.

    Raises OSError.
    """
    try:
        return sentence(_containers(places))
    except dependent_container.Unknown as unknown:
        return f"there may be containers that need runc-wrap, as {unknown}"


def _containers(places: Places) -> list[str]:
    """Return the containers that need the handler, pods as namespace/pod, each once."""
    pods = _pods(places)
    found = {pods.get(_id(one), str(one)) for one in _dependents(places)}
    return sorted(one for one in found if not _CANARY(one))


def sentence(found: Sequence[str]) -> str:
    """Return what still runs, by name; "" for nothing."""
    if not found:
        return ""
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    listed = ", ".join(safe_text.name(one) for one in found[:_MOST])
    return f"still started through runc-wrap: {listed}{more}; recreate them without it"


def _dependents(places: Places) -> Iterator[Dependent]:
    for state in registration_state.states(places.engines):
        where = state.where(places)
        for name in state.names:
            yield from handler_removal.needing(where.engine, where.config, where.bin_dir / name)
    for name in uninstall_obstacles.names(places):
        yield from handler_removal.calling(places, name)


def _pods(places: Places) -> dict[str, str]:
    """Return {a container's or sandbox's id: its namespace/pod}, as the ledger has them."""
    return {
        record.id: f"{record.namespace}/{record.pod}"
        for record in whole_ledger.read(places.ledger).records.values()
        if record.namespace and record.pod
    }


def _id(found: Dependent) -> str:
    return found.name.rpartition("/")[2]  # containerd's have its namespace before them
