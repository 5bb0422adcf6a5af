"""How many containers keep their engine's default profile: on one node, and in a fleet.

They are in no workload's row: the policy decides nothing about them.

    {"adopts": false, "profiles": {"containerd@1.7.24": 12}}                      of a node
    [{"adopts": false, "nodes": 3, "containers": 40, "profiles": {...}}, ...]      of a fleet

`adopts`: the node's policy decides about such containers that start from now on.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from runc_wrap import safe_text
from runc_wrap.documents.bounds import Count, Most
from runc_wrap.documents.reader import record
from runc_wrap.node.container_state import kept_sentence

Json = dict[str, Any]
MOST_PROFILES = 16  # of one node: engines, each in a version or two
_MOST_NAMED = 64  # of a fleet; the containers of further ones are counted with the others
_MOST_SHOWN = 5
_BYTES = 200  # that a name takes beside its text, as estimated
_OTHERS = "others"


@record
class Kept:
    """A node's containers that keep their engine's default: {profile: how many}."""

    adopts: bool
    profiles: Annotated[dict[Annotated[str, Most(100)], Count], Most(MOST_PROFILES)]

    @property
    def sentence(self) -> str:
        """Return what to tell the node's owner, "" if there are none."""
        total = sum(self.profiles.values())
        names = ", ".join(sorted(self.profiles))
        return kept_sentence.of(total, names, adopts=self.adopts) if total else ""


class FleetKept:
    """The same of all nodes, apart by whether their policy adopts such containers."""

    def __init__(self) -> None:
        self._nodes = {False: 0, True: 0}
        self._profiles: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}

    def add(self, kept: Kept | None) -> int:
        """Add what one node says; return how many bytes that took."""
        if kept is None or not any(kept.profiles.values()):
            return 0
        found = self._profiles[kept.adopts]
        taken = sum(len(name) + _BYTES for name in kept.profiles if name not in found)
        self._nodes[kept.adopts] += 1
        found.update(kept.profiles)
        return taken

    def as_json(self) -> list[Json]:
        """Return a row for each kind of policy that has such containers."""
        return [
            {"adopts": adopts, "nodes": self._nodes[adopts], "containers": found.total(),
             "profiles": _first(found)}
            for adopts, found in self._profiles.items()
            if found.total()
        ]  # fmt: skip

    def sentences(self) -> list[str]:
        """Return what to tell the fleet's owner, safe to print."""
        return [
            kept_sentence.of(
                found.total(),
                _names(found),
                adopts=adopts,
                where=f" on {safe_text.number(self._nodes[adopts], 'node')}",
            )
            for adopts, found in self._profiles.items()
            if found.total()
        ]


def _first(found: Counter[str]) -> dict[str, int]:
    """Return the profiles that most containers keep; `others` are the containers of the rest."""
    named = dict(found.most_common(_MOST_NAMED))
    rest = found.total() - sum(named.values())
    return {**named, _OTHERS: named.get(_OTHERS, 0) + rest} if rest else named


def _names(found: Counter[str]) -> str:
    names = [safe_text.word(name) for name, _ in found.most_common(_MOST_SHOWN)]
    return ", ".join([*names, *([_OTHERS] if len(found) > _MOST_SHOWN else [])])
