"""The record of a transaction that is not over: a change set's, with a note of the engine.

One transaction goes on at a time, under one lock.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from runc_wrap.documents.reader import DocumentError, taken
from runc_wrap.engines.registration import registration_state
from runc_wrap.host import change_set, locks
from runc_wrap.node.paths import Places

LOCK = "transaction"


@dataclass(frozen=True)
class Note:
    """What a change set's record says of the change and the engine that may have read it.

    `how`: what makes the engine read the new files; `how_back`: the former ones again.
    """

    id: str
    engine: str
    config: str
    handler: str
    action: str
    unit: str
    how: str
    how_back: str
    begun: float
    by: str

    @property
    def timer(self) -> str:
        """The name of the timer that takes it back if nobody else does."""
        return f"runc-wrap-revert-{self.id}"


def unfinished(places: Places) -> dict[Path, Note]:
    """Return {record: its note} of each transaction that is not over. Raises Failure, OSError."""
    found = {path: read(path)[1] for path in registration_state.unfinished(places)}
    return {path: note for path, note in found.items() if note}


def read(path: Path) -> tuple[change_set.ChangeRecord | None, Note | None]:
    """Return a change that is not over, and its note. Raises OSError and DamagedRecord."""
    found = change_set.read(path)
    try:
        return found, taken(Note, found.note) if found and found.note else None
    except DocumentError as error:
        raise change_set.DamagedRecord(path, error) from None


def exclusive(places: Places) -> AbstractContextManager[int]:
    """Return the lock of transactions. Raises LockHeldError."""
    return locks.locked(places.var, LOCK)
