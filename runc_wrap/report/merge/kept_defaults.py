"""How many containers keep their engine's default profile: on one node, and in a fleet.

They are in no workload's row: the policy decides nothing about them.

    {"adopts": false, "profiles": {"containerd@1.7.24": 12}}                      of a node
    [{"adopts": false, "nodes": 3, "containers": 40, "profiles": {...}}, ...]      of a fleet

`adopts`: the node's policy decides about such containers that start from now on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap import text
from runc_wrap.evidence.store.coverage import counted
from runc_wrap.node.container_state import kept_sentence
from runc_wrap.report.merge.call_fields import BadDocument, flag, number, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]
MOST_PROFILES = 16  # of one node: engines, each in a version or two
_LONGEST = 100  # characters of a profile's name
_MOST_NAMED = 64  # profiles of a fleet; the containers of further ones are counted with the others
_MOST_SHOWN = 5
_OTHERS = "others"


class Kept(NamedTuple):
    """A node's containers that keep their engine's default: {profile: how many}."""

    adopts: bool
    profiles: Mapping[str, int]

    @property
    def sentence(self) -> str:
        """Return what to tell the node's owner, "" if there are none."""
        total = sum(self.profiles.values())
        told = kept_sentence.told(total, ", ".join(sorted(self.profiles)), adopts=self.adopts)
        return told if total else ""


def read(value: object) -> Kept | None:
    """Return a document's `kept`; None for null, as of a release that did not count them.

    Raises BadDocument.
    """
    if value is None:
        return None
    found = value.get("profiles") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(found, dict) or len(found) > MOST_PROFILES:
        what = shown(value) if found is None else shown(found)
        raise BadDocument(f"kept is {what}, not how many containers keep which profile")
    if long := next((one for one in found if len(one) > _LONGEST), None):
        raise BadDocument(f"kept names {shown(long)}, longer than {_LONGEST} characters")
    return Kept(flag(value, "adopts"), {name: number(found, name) for name in found})


class FleetKept:
    """The same of all nodes, apart by whether their policy adopts such containers."""

    def __init__(self) -> None:
        self._nodes = {False: 0, True: 0}
        self._profiles: dict[bool, dict[str, int]] = {False: {}, True: {}}

    def add(self, kept: Kept | None) -> None:
        """Add what one node says."""
        if kept is None or not any(kept.profiles.values()):
            return
        self._nodes[kept.adopts] += 1
        found = self._profiles[kept.adopts]
        for name, containers in kept.profiles.items():
            known = name if name in found or len(found) < _MOST_NAMED else _OTHERS
            found[known] = found.get(known, 0) + containers

    def as_json(self) -> list[Json]:
        """Return a row for each kind of policy that has such containers."""
        return [
            {"adopts": adopts, "nodes": self._nodes[adopts], "containers": sum(found.values()),
             "profiles": found}
            for adopts, found in self._profiles.items()
            if found
        ]  # fmt: skip

    def sentences(self) -> list[str]:
        """Return what to tell the fleet's owner, safe to print."""
        return [
            kept_sentence.told(
                sum(found.values()),
                _names(found),
                adopts=adopts,
                where=f" on {counted(self._nodes[adopts], 'node')}",
            )
            for adopts, found in self._profiles.items()
            if found
        ]


def _names(found: Mapping[str, int]) -> str:
    """Return the profiles that most containers keep."""
    most = sorted(found, key=lambda name: (-found[name], name))
    more = ["others"] if len(most) > _MOST_SHOWN else []
    return ", ".join([*map(text.word, most[:_MOST_SHOWN]), *more])
