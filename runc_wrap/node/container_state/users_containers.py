"""Users' own containers: their states and ledgers, read as each of those users, within bounds.

A user may write anything there. So these containers are listed by user, apart from root's; their
number is limited, and they affect nothing about root's containers.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.host import bounded_work, container_discovery, runtime_state
from runc_wrap.host.container_discovery import OF_A_USER, RuntimeContainer
from runc_wrap.host.runtime_state import RUN_DIRECTORIES
from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.ledger import whole_ledger
from runc_wrap.node.container_state.visible_containers import LEDGER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from runc_wrap.ledger.decision_record import Record
    from runc_wrap.ledger.whole_ledger import Ledger

SECONDS = 5.0  # for all users' states together
_AT_ONCE = 64  # users
_SENTENCES = 10
_MOST_ROOTS = 32
_LARGEST_LEDGER = 2 << 20  # bytes of each file, the newest


@dataclass(slots=True)
class User:
    """A user's own data: containers with their records, and what could not be read.

    `more` counts directories that were not read.
    """

    uid: int
    found: list[tuple[RuntimeContainer, Record | None]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    more: int = 0


def read(trusted: Collection[int]) -> list[User]:
    """Return all users except the trusted, as far as we may read what is theirs."""
    uids = [uid for uid in _uids() if uid not in trusted]
    done = bounded_work.run({uid: lambda uid=uid: _read(uid) for uid in uids[:_AT_ONCE]}, SECONDS)  # type: ignore[misc]  # the default is the uid
    found = [_user(uid, one) for uid, one in done.items() if one.is_permitted]
    left = "not read: there are too many users"
    found += [User(uid, unreadable=[left]) for uid in uids[_AT_ONCE:]]
    return [user for user in found if user.found or user.unreadable or user.more]


def _uids() -> list[int]:
    """Return the users with a run directory, by its name: accessing one may never return."""
    try:
        return sorted(int(name) for name in os.listdir(RUN_DIRECTORIES) if name.isdecimal())  # noqa: PTH208 - names
    except OSError:
        return []


def _user(uid: int, output: bounded_work.Output) -> User:
    user = User(uid)
    for value in output.values:
        if "more" in value:
            user.more, user.unreadable = value["more"], value["unreadable"]
        else:
            line = value.pop("line")
            record = ledger_record.of(line) if line else None
            user.found.append((RuntimeContainer(**{**value, "owner": uid}), record))
    if not output.is_complete:
        user.unreadable.insert(0, f"reading its states took longer than {SECONDS:g} s, or failed")
    return user


def _read(uid: int) -> Iterator[dict[str, Any]]:
    """Yield, running as that user, each container, and finally what was left out."""
    own = Path(f"{RUN_DIRECTORIES}{uid}")
    ledger = whole_ledger.read(own / LEDGER, _LARGEST_LEDGER)
    named = sorted(ledger.roots)[:_MOST_ROOTS]
    roots = dict.fromkeys(
        [*container_discovery.known_roots(own, runtime_state.USERS_ROOTS), *named]
    )
    found = container_discovery.find(roots, (), OF_A_USER)
    real = places(roots)
    decided = canonical(ledger, real)
    for one in found.containers:
        record = record_of(one, decided, real)
        yield {**asdict(one), "line": record and record.line}
    sentences = found.unreadable[:_SENTENCES]
    yield {"more": found.more + len(found.unreadable) - len(sentences), "unreadable": sentences}


def places(roots: Iterable[str]) -> dict[str, str]:
    """Return {root: its real path}; a user who controls part of a path can make this hang."""
    return {root: os.path.realpath(root) for root in roots if root}


def canonical(ledger: Ledger, real: Mapping[str, str]) -> Ledger:
    """Return a ledger in which each root is a real path."""
    records = {(real.get(root, root), name): one for (root, name), one in ledger.records.items()}
    laid = {(real.get(root, root), name): one for (root, name), one in ledger.tightened.items()}
    return whole_ledger.Ledger(records, ledger.damaged, tightened=laid)


def record_of(
    container: RuntimeContainer, ledger: Ledger, real: Mapping[str, str]
) -> Record | None:
    """Return a container's last record; one without --root means the runtime's default root."""
    root = real.get(container.root, container.root)
    own = f"{RUN_DIRECTORIES}{container.owner}"
    is_default = root in (*runtime_state.DEFAULT_ROOTS, *runtime_state.default_roots(own))
    found = [ledger.of(name, container.id) for name in ([root, ""] if is_default else [root])]
    return max((one for one in found if one), key=lambda one: one.time or "", default=None)
