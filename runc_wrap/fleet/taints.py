"""Taints that keep a DaemonSet's pod off a node, as Kubernetes decides it (ToleratesTaint).

Those of node.kubernetes.io are Kubernetes' own: they tell a condition that passes, and a
DaemonSet's pod tolerates most of them in any case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Json = dict[str, Any]
_EFFECTS = ("NoSchedule", "NoExecute")
_PASSING = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_MOST = 64  # of one node


class Taint(NamedTuple):
    """A taint with an effect that keeps pods off."""

    key: str
    value: str
    effect: str

    @property
    def words(self) -> str:
        """Return it as kubectl writes it."""
        return f"{self.key}{'=' if self.value else ''}{self.value}:{self.effect}"


class Toleration(NamedTuple):
    """What a pod tolerates; `value` is None for any, `key` and `effect` are "" for any."""

    key: str
    value: str | None
    effect: str

    def meets(self, taint: Taint) -> bool:
        """Return whether a pod with this may run on a node with that taint."""
        return (
            self.key in ("", taint.key)
            and self.value in (None, taint.value)
            and self.effect in ("", taint.effect)
        )


def of_node(spec: object) -> tuple[Taint, ...]:
    """Return the taints of a node's specification that stay, those that are well-formed."""
    held = _each(spec, "taints")[:_MOST]
    found = [Taint(*(_text(one, name) for name in Taint._fields)) for one in held]
    return tuple(
        one for one in found if one.effect in _EFFECTS and not one.key.startswith(_PASSING)
    )


def tolerations(spec: object) -> tuple[Toleration, ...]:
    """Return what a pod of this specification tolerates; of other operators nothing."""
    found = []
    for one in _each(spec, "tolerations"):
        key, operator, effect = (_text(one, name) for name in ("key", "operator", "effect"))
        if operator == "Exists":
            found.append(Toleration(key, None, effect))
        elif key and operator in ("", "Equal"):
            found.append(Toleration(key, _text(one, "value"), effect))
    return tuple(found)


def keeping_off(taints: Sequence[Taint], tolerated: Iterable[Toleration]) -> Taint | None:
    """Return the first taint that a pod with these tolerations does not tolerate, None if none."""
    held = [*tolerated]
    return next((one for one in taints if not any(each.meets(one) for each in held)), None)


def _each(spec: object, name: str) -> list[Json]:
    found = spec.get(name) if isinstance(spec, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _text(one: Json, name: str) -> str:
    found = one.get(name)
    return found if isinstance(found, str) else ""
