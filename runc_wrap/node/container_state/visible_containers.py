"""What the caller may see: the whole node for root, a user's own containers for a user.

A user's ledger is in the user's run directory, as in the hot path. What only root may read (the
node's ledger, other states, the agent's evidence) is shown to a user as unknown.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.host.runtime_state import RUN_DIRECTORIES
from runc_wrap.hotpath.main import INITIAL
from runc_wrap.ledger import whole_ledger
from runc_wrap.ledger.whole_ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable

LEDGER = "runc-wrap/ledger"


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
    return [node, *(directory / LEDGER for directory in directories())]


def read(node: Path) -> tuple[list[Ledger], list[str]]:
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


def visible(roots: Iterable[str]) -> list[str]:
    """Return those of the known roots that the caller may read; root may read all."""
    if is_root():
        return [*roots]
    return [root for root in roots if os.access(root, os.R_OK | os.X_OK, effective_ids=True)]
