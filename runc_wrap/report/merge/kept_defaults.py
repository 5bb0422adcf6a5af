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
from runc_wrap.documents.constraints import Count, Most
from runc_wrap.documents.reader import record
from runc_wrap.node.container_state import kept_default_sentence

Json = dict[str, Any]
MOST_PROFILES = 16  # of one node: engines, each in a version or two
_MOST_SHOWN = 5


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
        return kept_default_sentence.of(total, names, adopts=self.adopts) if total else ""


class FleetKept:
    """The same of all nodes, apart by whether their policy adopts such containers."""

    def __init__(self) -> None:
        self._nodes: Counter[bool] = Counter()
        self._profiles: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}

    def add(self, kept: Kept | None) -> None:
        """Add what one node says."""
        if kept and any(kept.profiles.values()):
            self._nodes[kept.adopts] += 1
            self._profiles[kept.adopts].update(kept.profiles)

    def as_json(self) -> list[Json]:
        """Return a row for each kind of policy that has such containers."""
        return [
            {"adopts": adopts, "nodes": self._nodes[adopts], "containers": found.total(),
             "profiles": dict(found.most_common())}
            for adopts, found in self._profiles.items()
            if found
        ]  # fmt: skip

    def sentences(self) -> list[str]:
        """Return what to tell the fleet's owner, safe to print."""
        return [
            kept_default_sentence.of(
                found.total(),
                _names(found),
                adopts=adopts,
                where=f" on {safe_text.number(self._nodes[adopts], 'node')}",
            )
            for adopts, found in self._profiles.items()
            if found
        ]


def _names(found: Counter[str]) -> str:
    return safe_text.some([safe_text.word(name) for name, _ in found.most_common()], _MOST_SHOWN)
