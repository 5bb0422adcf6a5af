"""The containers that our launcher has started, and that their runtime has not deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.engines.dependent import Dependent
from runc_wrap.host import runtime_state
from runc_wrap.ledger import whole_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places


def of_handler(places: Places, handler: str) -> Iterator[Dependent]:
    """Yield those that were started as this handler. Raises OSError."""
    for key, record in whole_ledger.read(places.ledger).records.items():
        if record.handler == handler and runtime_state.directory(key):
            yield Dependent(record.engine or "", record.id)
