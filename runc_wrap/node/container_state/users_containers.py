"""Whose containers are shown: the whole node's to root, a user's own to that user.

A user's ledger is in the user's run directory, as in the hot path. What only root may read (the
node's ledger, other states, the agent's evidence) is shown to a user as unknown.

Users' own containers, their states and ledgers, are read as each of those users, within bounds: a
user may write anything there. So they are listed by user, apart from root's; their number is
limited, and they affect nothing about root's containers.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from runc_wrap.host import bounded_work, container_discovery, runtime_state
from runc_wrap.host.container_discovery import OF_A_USER, RuntimeContainer
from runc_wrap.host.runtime_state import RUN_DIRECTORIES
from runc_wrap.hotpath.main import INITIAL
from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.ledger import whole_ledger
from runc_wrap.ledger.decision_record import Ledger, Record

SECONDS = 5.0  # for all users' states together
_AT_ONCE = 64  # users
_SENTENCES = 10
_MOST_ROOTS = 32
_LARGEST_LEDGER = 2 << 20  # bytes of each file, the newest
_LEDGER = "runc-wrap/ledger"  # in a user's run directory


def is_root() -> bool:
    """Tell whether the caller is the node's root; uid 0 of a user namespace counts as a user."""
    if os.geteuid():
        return False
    try:
        return Path("/proc/self/uid_map").read_bytes().split()[:3] == INITIAL
    except OSError:  # a kernel without user namespaces
        return True


def directories() -> list[Path]:
    """Return the run directories of the calling user; none for root.

    Root's XDG_RUNTIME_DIR may be another user's (sudo, su).
    """
    if is_root():
        return []
    xdg = os.environ.get("XDG_RUNTIME_DIR", "")
    named = [f"{RUN_DIRECTORIES}{os.geteuid()}", *([xdg] if xdg.startswith("/") else [])]
    return [Path(one) for one in dict.fromkeys(named)]


def ledgers(node: Path) -> list[Path]:
    """Return the ledgers of the node and of this user, which may not be readable."""
    return [node, *(directory / _LEDGER for directory in directories())]


def read_ledgers(node: Path) -> tuple[list[Ledger], list[str]]:
    """Return the ledgers, the node's first, and a sentence if only root may read that.

    Raises OSError for any other that cannot be read.
    """
    found, notes = [], []
    for directory in ledgers(node):
        try:
            found.append(whole_ledger.read(directory))
        except PermissionError:
            if directory != node or is_root():
                raise
            found.append(Ledger({}))
            uid = os.geteuid()
            notes.append(
                f"this shows only what uid {uid} started; run it as root to see root's decisions"
            )
    return found, notes


def merged(ledgers: Iterable[Ledger]) -> Ledger:
    """Return one ledger made of several, which have different roots."""
    whole = Ledger({})
    for one in ledgers:
        starts = {**whole.starts, **one.starts}
        whole = Ledger({**whole.records, **one.records}, whole.damaged + one.damaged, starts)
    return whole


def readable(roots: Iterable[str]) -> list[str]:
    """Return those of the known roots that the caller may read; root may read all."""
    if is_root():
        return [*roots]
    return [root for root in roots if os.access(root, os.R_OK | os.X_OK, effective_ids=True)]


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
    names: list[str] = []
    with suppress(OSError):  # users by their directories' names: accessing one may never return
        names = os.listdir(RUN_DIRECTORIES)  # noqa: PTH208 - names
    uids = sorted({int(name) for name in names if name.isdecimal()}.difference(trusted))
    done = bounded_work.run({uid: lambda uid=uid: _read(uid) for uid in uids[:_AT_ONCE]}, SECONDS)  # type: ignore[misc]  # the default is the uid
    found = [_user(uid, one) for uid, one in done.items() if one.is_permitted]
    left = "not read: there are too many users"
    found += [User(uid, unreadable=[left]) for uid in uids[_AT_ONCE:]]
    return [user for user in found if user.found or user.unreadable or user.more]


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
    ledger = whole_ledger.read(own / _LEDGER, _LARGEST_LEDGER)
    named = sorted(ledger.roots)[:_MOST_ROOTS]
    roots = dict.fromkeys(
        [*container_discovery.known_roots(own, runtime_state.USERS_ROOTS), *named]
    )
    found = container_discovery.find(roots, (), OF_A_USER)
    real = places(roots)
    decided = canonical(ledger, real)
    for one in found.containers:
        record = record_of(one, [decided], real)
        yield {**asdict(one), "line": record and record.line}
    sentences = found.unreadable[:_SENTENCES]
    yield {"more": found.more + len(found.unreadable) - len(sentences), "unreadable": sentences}


def hand_over(joined: Iterable[tuple[RuntimeContainer, Record | None]], others: list[User]) -> None:
    """Move containers that users control, in roots that root's ledger names, to the users'."""
    known = {user.uid: user for user in others}
    for container, record in joined:
        if container.owner not in known:
            known[container.owner] = User(container.owner)
            others.append(known[container.owner])
        user = known[container.owner]
        if len(user.found) < OF_A_USER.containers:
            user.found.append((container, record))
        else:
            user.more += 1


def places(roots: Iterable[str]) -> dict[str, str]:
    """Return {root: its real path}; a user who controls part of a path can make this hang."""
    return {root: os.path.realpath(root) for root in roots if root}


def canonical(ledger: Ledger, real: Mapping[str, str]) -> Ledger:
    """Return a ledger in which each root is a real path."""
    records = {(real.get(root, root), name): one for (root, name), one in ledger.records.items()}
    laid = {(real.get(root, root), name): one for (root, name), one in ledger.tightened.items()}
    return Ledger(records, ledger.damaged, tightened=laid)


def record_of(
    container: RuntimeContainer, ledgers: Sequence[Ledger], real: Mapping[str, str]
) -> Record | None:
    """Return a container's last record; one without --root means the runtime's default root."""
    root = real.get(container.root, container.root)
    own = f"{RUN_DIRECTORIES}{container.owner}"
    is_default = root in (*runtime_state.DEFAULT_ROOTS, *runtime_state.default_roots(own))
    names = [root, ""] if is_default else [root]
    found = [one.of(name, container.id) for one in ledgers for name in names]
    return max(filter(None, found), key=lambda one: one.time or "", default=None)
