"""The journal of transactions: PREFIX/var/transactions, one file for each registration.

A file is written and synced before each step, so that whoever reads it after a kill or a power cut
knows what may have been done. After the end it stays, as the record of since when and by whom.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.host import files
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.transaction import file_snapshot
from runc_wrap.node.engines.transaction.file_snapshot import Snapshot

if TYPE_CHECKING:
    from runc_wrap.node.engines.registration.registration_state import Where
    from runc_wrap.node.paths import Places

FORMAT = 1
LARGEST = 64 << 20  # bytes of one journal: several files of 4 MiB, before and after, as JSON
# In the order of a transaction; after `reverting` there is no journal, or that of `done` before.
WRITING, CHECKING, RESTARTING, PROVING = "writing", "checking", "restarting", "proving"
TRYING, DONE, REVERTING = "trying", "done", "reverting"
STEPS = (WRITING, CHECKING, RESTARTING, PROVING, TRYING, DONE, REVERTING)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LOGIN_UID = Path("/proc/self/loginuid")
_NO_LOGIN = 0xFFFFFFFF
_MOST_SAID = 200  # characters of a journal's keys


@dataclass(frozen=True)
class Journal:
    """One transaction. `restarts`: the engine may have read the new files; `until`: of a try.

    `how`: what makes the engine read the new files; `how_back`: the former ones again, "" for the
    same.

    `digests` are of the files as the engine read them when it was restarted; `ended`: that was
    before, in seconds since the epoch. `version`: of the engine whose canary ran then; `proved`:
    {handler: version of the engine with which a canary proved it}, where that is another one.
    """

    id: str
    engine: str
    config: str
    handler: str
    action: str
    unit: str
    how: str
    step: str
    begun: float
    boot: str
    by: str
    version: str | None = None
    restarts: bool = False
    until: float | None = None
    digests: dict[str, str] = field(default_factory=dict)
    ended: float | None = None
    snapshot: Snapshot = field(default_factory=Snapshot)
    former: dict[str, Any] | None = None
    how_back: str = ""  # none in the journals of earlier releases
    proved: dict[str, str] = field(default_factory=dict)  # not written if there is none

    @property
    def is_over(self) -> bool:
        """Whether nothing has to be finished or taken back."""
        return self.step == DONE

    @property
    def timer(self) -> str:
        """The name of the timer that takes it back if nobody else does."""
        return f"runc-wrap-revert-{self.id}"

    @property
    def try_timer(self) -> str:
        """The name of the timer that ends the time of a try."""
        return f"{self.timer}-try"

    def version_of(self, handler: str) -> str | None:
        """Return the version of the engine with which a canary proved a handler, None if unknown.

        Earlier builds wrote one for all of a configuration's handlers.
        """
        return self.proved.get(handler, self.version)

    def at(self, step: str, **changes: Any) -> Journal:  # noqa: ANN401 - fields of various types
        """Return it at a step."""
        return replace(self, step=step, **changes)


_KEYS = frozenset(each.name for each in fields(Journal))


def directory(places: Places) -> Path:
    """Return where the journals are."""
    return places.var / "transactions"


def path_of(places: Places, where: Where) -> Path:
    """Return the file of one registration's journal."""
    return directory(places) / where.state_file.name


def write(path: Path, journal: Journal) -> None:
    """Write and sync it. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = {**_known(journal), "format": FORMAT, "snapshot": journal.snapshot.as_json()}
    files.replace(path, json.dumps(found, indent=1).encode(), writer="journal")


def _known(journal: Journal) -> dict[str, Any]:
    """Return the fields, without one that earlier builds do not know unless it says something."""
    return {key: value for key, value in vars(journal).items() if key != "proved" or value}


def read(path: Path) -> Journal | None:
    """Return a registration's journal, None if it never had a transaction. Raises EngineError."""
    try:
        found = json.loads(files.read(path, LARGEST))
        if found.pop("format") != FORMAT:
            raise EngineError(
                f"{path}: another release's journal", f"format {FORMAT}", "that release"
            )
        more = (found.keys() - _KEYS) | file_snapshot.unknown_keys(found["snapshot"])
        if more:
            raise EngineError(
                f"{path}: another release's journal, with {', '.join(sorted(more))[:_MOST_SAID]}",
                "the keys that this release writes",
                "that release",
            )
        return _from_json(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EngineError(
            f"{path}: {error}",
            "a transaction's journal",
            "see that the engine's files are as you want them, then remove this one",
        ) from None


def _from_json(found: dict[str, Any]) -> Journal:
    journal = Journal(**{**found, "snapshot": file_snapshot.from_json(found["snapshot"])})
    times = (journal.until, journal.ended)
    if journal.step not in STEPS or not all(isinstance(one, int | float | None) for one in times):
        raise ValueError(f"step {journal.step!r} until {journal.until!r}, {journal.ended!r}")
    tables: tuple[Any, ...] = (journal.digests, journal.proved)
    if not all(map(_has_texts, tables)):
        raise ValueError(f"digests and proved {tables!r}")
    return journal


def _has_texts(found: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(found, dict) and all(isinstance(each, str) for each in found.values())


def all_of(places: Places) -> dict[Path, Journal]:
    """Return {file: journal} of this installation. Raises EngineError."""
    found = {path: read(path) for path in sorted(directory(places).glob("*.json"))}
    return {path: journal for path, journal in found.items() if journal}


def unfinished(places: Places) -> dict[Path, Journal]:
    """Return those that have to be confirmed, finished or taken back.

    Raises EngineError for one that cannot be read, but only if there is no other: it must not keep
    the others from being taken back.
    """
    readable, unreadable = _readable(places)
    found = {path: one for path, one in readable.items() if not one.is_over}
    if unreadable and not found:
        raise unreadable
    return found


def _readable(places: Places) -> tuple[dict[Path, Journal], EngineError | None]:
    """Return {file: journal}, and what is wrong with the first one that cannot be read."""
    found: dict[Path, Journal] = {}
    unreadable: EngineError | None = None
    for path in sorted(directory(places).glob("*.json")):
        try:
            one = read(path)
        except EngineError as error:
            unreadable = unreadable or error
        else:
            if one:
                found[path] = one
    return found, unreadable


def refuse_unfinished(places: Places, where: Where) -> None:
    """Raise EngineError if a transaction of this registration has to be ended first."""
    found = read(path_of(places, where))
    if found and not found.is_over:
        raise EngineError(
            f"{found.config} is being changed by {found.by} ({found.step})",
            "a transaction that is over",
            "`runc-wrapctl engine confirm` or `engine revert`",
        )


def forget(places: Places, where: Where) -> None:
    """Remove the record of the last transaction: a change without one came after it."""
    path_of(places, where).unlink(missing_ok=True)


def finish(path: Path, journal: Journal) -> None:
    """Record that a change is in force for good, and remove what would take it back."""
    files_of = file_snapshot.without_texts(journal.snapshot)
    write(path, journal.at(DONE, snapshot=files_of, until=None, former=None))
    file_snapshot.drop_former(journal.snapshot)


def sweep(places: Places) -> None:
    """Remove what a kill in `finish` or `write` left.

    Raises EngineError for a journal that cannot be read, after the others, and OSError.
    """
    for new in directory(places).glob(".*.new"):
        new.unlink(missing_ok=True)
    found, unreadable = _readable(places)
    for journal in found.values():
        if journal.is_over:
            file_snapshot.drop_former(journal.snapshot)
    if unreadable:
        raise unreadable


def take_back(path: Path, journal: Journal) -> None:
    """Record that a change was taken back: what was recorded before it counts again.

    On a full disk that record is lost: it only tells since when and by whom.
    """
    if journal.former is not None:
        former = {**journal.former, "snapshot": Snapshot()}
        with contextlib.suppress(OSError):
            return write(path, Journal(**former))
    path.unlink(missing_ok=True)
    return files.sync(path.parent)


def summary(journal: Journal) -> dict[str, Any]:
    """Return a finished journal as `former` of the next one."""
    return {**_known(journal), "snapshot": {}, "former": None}


def boot() -> str:
    """Return the identity of this boot."""
    return _BOOT_ID.read_text().strip()


def author() -> str:
    """Return who runs this command, by the kernel's login uid, which sudo does not change."""
    try:
        uid = int(_LOGIN_UID.read_text())
    except (OSError, ValueError):
        uid = _NO_LOGIN
    uid = os.getuid() if uid == _NO_LOGIN else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
