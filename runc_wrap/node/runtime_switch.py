"""Whether the runtime's kind may change: runc and crun cannot manage each other's containers.

An existing container would continue to run, and no engine could stop, exec into or delete it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runc_wrap.ledger import whole_ledger
from runc_wrap.node import installed_programs
from runc_wrap.policy.compiler_facts import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runc_wrap.hotpath.ledger_file import Key
    from runc_wrap.node.paths import Places

_NAMED = 3
_LONGEST = 200  # characters of a name shown: callers choose the names in the ledger


def check(places: Places, kind: str) -> None:
    """Refuse another kind than the one in force while containers of the ledger exist.

    Raises PolicyError, and OSError for a ledger that cannot be read.
    """
    before = installed_programs.kind_in_force(places.runtime)
    if before in (None, kind):
        return
    if existing := sorted(_existing(whole_ledger.read(places.ledger).records)):
        raise PolicyError(
            f"the runtime would change from {before} to {kind}, which cannot manage containers of "
            f"{before}: {_named(existing)} would be orphaned. Stop and delete these first, or keep "
            f'{before} (runtime = ["{before}"] in config.toml), or change it anyway with --force.'
        )


def _existing(keys: Iterable[Key]) -> Iterator[str]:
    """Yield <root>/<id> of those that their runtime has not deleted."""
    for root, name in keys:
        path = f"{root}/{name}"
        if root.startswith("/") and _is_plain(name) and os.path.lexists(path):
            yield path


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name


def _named(paths: list[str]) -> str:
    shown = ", ".join(f"{path:.{_LONGEST}}" for path in paths[:_NAMED])
    more = len(paths) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
