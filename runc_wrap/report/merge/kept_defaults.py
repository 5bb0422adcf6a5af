"""How many containers keep their engine's default profile: on one node, and in a fleet.

They are in no workload's row: the policy decides nothing about them.

    {"adopts": false, "profiles": {"containerd@1.7.24": 12}}                      of a node
    [{"adopts": false, "nodes": 3, "containers": 40, "profiles": {...}}, ...]      of a fleet

`adopts`: the node's policy decides about such containers that start from now on.
"""

from __future__ import annotations

from math import lcm
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap import text
from runc_wrap.node.container_state import kept_sentence
from runc_wrap.report.merge.call_fields import BadDocument, flag, number, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]
MOST_PROFILES = 16  # of one node: engines, each in a version or two
_LONGEST = 100  # characters of a profile's name
_MOST_CONTAINERS = 10_000  # of one node; Kubernetes is made for 110 pods
_MOST_HELD = 1024  # profiles of a fleet, while its nodes are read
_MOST_NAMED = 64  # of them; the containers of further ones are counted with the others
_MOST_SHOWN = 5
_VOTE = lcm(*range(1, MOST_PROFILES + 1))  # of one node; whole numbers, as their sum has no order
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
    profiles = {name: number(found, name) for name in found}
    if (total := sum(profiles.values())) > _MOST_CONTAINERS:
        most = f"more than the {_MOST_CONTAINERS} that a node may run"
        raise BadDocument(f"kept counts {total} containers, {most}")
    return Kept(flag(value, "adopts"), profiles)


class FleetProfiles:
    """How many containers keep which profile: {name: how many}, of at most _MOST_HELD profiles.

    Kept and named are those of most nodes. Each node has one vote, shared by those that it names:
    what it claims of its containers does not crowd out what others say.
    """

    def __init__(self) -> None:
        self.containers: dict[str, int] = {}
        self._votes: dict[str, int] = {}
        self._others = 0

    @property
    def total(self) -> int:
        """How many containers there are."""
        return sum(self.containers.values()) + self._others

    def add(self, profiles: Mapping[str, int]) -> None:
        """Add what one node says."""
        found = {name: containers for name, containers in profiles.items() if containers}
        for name, containers in found.items():
            self.containers[name] = self.containers.get(name, 0) + containers
            self._votes[name] = self._votes.get(name, 0) + _VOTE // len(found)
        if len(self.containers) > _MOST_HELD:
            for name in self._ranked()[_MOST_HELD // 2 :]:
                self._others += self.containers.pop(name)
                del self._votes[name]

    def as_json(self) -> dict[str, int]:
        """Return the first profiles, and the containers of all others as `others`."""
        named = {name: self.containers[name] for name in self._ranked()[:_MOST_NAMED]}
        rest = self.total - sum(named.values())
        return {**named, _OTHERS: named.get(_OTHERS, 0) + rest} if rest else named

    def names(self) -> str:
        """Return the first names, safe to print."""
        ranked = self._ranked()
        more = [_OTHERS] if len(ranked) > _MOST_SHOWN or self._others else []
        return ", ".join([*map(text.word, ranked[:_MOST_SHOWN]), *more])

    def _ranked(self) -> list[str]:
        return sorted(
            self.containers, key=lambda name: (-self._votes[name], -self.containers[name], name)
        )


class FleetKept:
    """The same of all nodes, apart by whether their policy adopts such containers."""

    def __init__(self) -> None:
        self._nodes = {False: 0, True: 0}
        self._profiles = {False: FleetProfiles(), True: FleetProfiles()}

    def add(self, kept: Kept | None) -> None:
        """Add what one node says."""
        if kept is None or not any(kept.profiles.values()):
            return
        self._nodes[kept.adopts] += 1
        self._profiles[kept.adopts].add(kept.profiles)

    def as_json(self) -> list[Json]:
        """Return a row for each kind of policy that has such containers."""
        return [
            {"adopts": adopts, "nodes": self._nodes[adopts], "containers": found.total,
             "profiles": found.as_json()}
            for adopts, found in self._profiles.items()
            if found.total
        ]  # fmt: skip

    def sentences(self) -> list[str]:
        """Return what to tell the fleet's owner, safe to print."""
        return [
            kept_sentence.told(
                found.total,
                found.names(),
                adopts=adopts,
                where=f" on {text.number(self._nodes[adopts], 'node')}",
            )
            for adopts, found in self._profiles.items()
            if found.total
        ]
