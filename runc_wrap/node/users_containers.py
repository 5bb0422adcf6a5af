"""Users' own containers: their states and ledgers, read as each of those users, within bounds.

A user may write there whatever he likes. So it is told apart from root's, by the user: how many are
shown has a bound, and none of it decides anything about root's containers.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.host import bounded_work, containers, runtime_state
from runc_wrap.host.containers import OF_A_USER, Container
from runc_wrap.host.runtime_state import RUN_DIRECTORIES
from runc_wrap.ledger import reader
from runc_wrap.ledger import record as ledger_record
from runc_wrap.node.visible_containers import LEDGER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from runc_wrap.ledger.reader import Ledger
    from runc_wrap.ledger.record import Record

SECONDS = 5.0  # for all users' states together
_AT_ONCE = 64  # users
_SENTENCES = 10
_MOST_ROOTS = 32
_LARGEST_LEDGER = 2 << 20  # bytes of each file, the newest


@dataclass(slots=True)
class User:
    """What a user says: containers with their records, and what could not be read.

    `more` counts directories that nobody has looked into.
    """

    uid: int
    found: list[tuple[Container, Record | None]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    more: int = 0


def read(trusted: Collection[int]) -> list[User]:
    """Return all users but the trusted, as far as we may see what is theirs."""
    uids = [uid for uid in _uids() if uid not in trusted]
    told = bounded_work.run({uid: lambda uid=uid: _said(uid) for uid in uids[:_AT_ONCE]}, SECONDS)  # type: ignore[misc]  # the default is the uid
    found = [_user(uid, one) for uid, one in told.items() if one.is_ours]
    left = "not looked at: there are too many users"
    found += [User(uid, unreadable=[left]) for uid in uids[_AT_ONCE:]]
    return [user for user in found if user.found or user.unreadable or user.more]


def _uids() -> list[int]:
    """Return whose directories there are: by their names, as it may take for ever to ask them."""
    try:
        return sorted(int(name) for name in os.listdir(RUN_DIRECTORIES) if name.isdecimal())  # noqa: PTH208 - names
    except OSError:
        return []


def _user(uid: int, told: bounded_work.Told) -> User:
    user = User(uid)
    for value in told.values:
        if "more" in value:
            user.more, user.unreadable = value["more"], value["unreadable"]
        else:
            line = value.pop("line")
            record = ledger_record.of(line) if line else None
            user.found.append((Container(**{**value, "owner": uid}), record))
    if not told.is_whole:
        user.unreadable.insert(0, f"to read its states took longer than {SECONDS:g} s, or failed")
    return user


def _said(uid: int) -> Iterator[dict[str, Any]]:
    """Yield what there is, as that user: each container, and at last what is left out."""
    own = Path(f"{RUN_DIRECTORIES}{uid}")
    said = reader.read(own / LEDGER, _LARGEST_LEDGER)
    named = sorted(said.roots)[:_MOST_ROOTS]
    roots = dict.fromkeys([*containers.known_roots(own, runtime_state.USERS_ROOTS), *named])
    found = containers.find(roots, (), OF_A_USER)
    real = places(roots)
    decided = canonical(said, real)
    for one in found.containers:
        record = record_of(one, decided, real)
        yield {**asdict(one), "line": record and record.line}
    sentences = found.unreadable[:_SENTENCES]
    yield {"more": found.more + len(found.unreadable) - len(sentences), "unreadable": sentences}


def places(roots: Iterable[str]) -> dict[str, str]:
    """Return {root: the place that it is}; whoever has a say in one may let this take for ever."""
    return {root: os.path.realpath(root) for root in roots if root}


def canonical(said: Ledger, real: Mapping[str, str]) -> Ledger:
    """Return a ledger with each root as the place that it is."""
    records = {(real.get(root, root), name): one for (root, name), one in said.records.items()}
    return reader.Ledger(records, said.damaged)


def record_of(container: Container, said: Ledger, real: Mapping[str, str]) -> Record | None:
    """Return the record that counts: without --root, the runtime took its own default."""
    root = real.get(container.root, container.root)
    own = f"{RUN_DIRECTORIES}{container.owner}"
    is_default = root in (*runtime_state.DEFAULT_ROOTS, *runtime_state.default_roots(own))
    found = [said.of(name, container.id) for name in ([root, ""] if is_default else [root])]
    return max((one for one in found if one), key=lambda one: one.time or "", default=None)
