"""The nodes to which each of several DaemonSets brings its policy: by label selectors of kubectl.

A DaemonSet's pods go to the nodes of its nodeSelector and of one term of its required affinity.
kubectl and the API server do the selecting, so that nothing of the nodes' labels is read here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap import text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from runc_wrap.fleet.node_list import Asked

Json = dict[str, Any]
Files = dict[str, str]
_AFFINITY = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
_MOST_TERMS = 16
_KEY = re.compile(r"[A-Za-z0-9]([\w./-]{0,316})", re.ASCII).fullmatch
_VALUE = re.compile(r"[\w.-]{0,63}", re.ASCII).fullmatch
_NO_SELECTOR = "; say which policy by --config-map NAME, and which nodes by -l"


class NotSelectable(ValueError):
    """What a DaemonSet selects cannot be said as label selectors; the message is a sentence."""


class Pool(NamedTuple):
    """The files that some nodes get: those that meet one of the label selectors; all if none."""

    daemonset: str
    files: Files
    selectors: tuple[str, ...] = ()


def selectors(daemonset: str, spec: Json) -> tuple[str, ...]:
    """Return the label selectors of a pod's specification: a node has to meet one of them.

    Raises NotSelectable.
    """
    try:
        plain = [_equal(*one) for one in (spec.get("nodeSelector") or {}).items()]
        terms = _terms(spec)
        if terms is None:
            return (",".join(plain),)
        found = [[_expression(one) for one in term["matchExpressions"]] for term in terms]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"the DaemonSet {text.word(daemonset)} selects its nodes by what is no label selector"
        raise NotSelectable(f"{why}: {text.name(error)}{_NO_SELECTOR}") from None
    return tuple(",".join([*plain, *one]) for one in found if one)


def _terms(spec: Json) -> list[Json] | None:
    """Return the terms of the required affinity, None without one."""
    found: Any = spec
    for key in _AFFINITY:
        found = found.get(key) or {}
    if not found:
        return None
    terms: list[Json] = found["nodeSelectorTerms"]
    for term in terms:
        if term.keys() != {"matchExpressions"}:
            raise ValueError(" and ".join(map(str, term)) or "an empty term")
    if len(terms) > _MOST_TERMS:
        raise ValueError(f"{len(terms)} terms, more than {_MOST_TERMS}")
    return terms


def _expression(one: Json) -> str:
    key, operator, values = _key(one["key"]), one["operator"], one.get("values") or []
    listed = ",".join(map(_value, values))
    match operator:
        case "In" if values:
            return f"{key} in ({listed})"
        case "NotIn" if values:
            return f"{key} notin ({listed})"
        case "Exists":
            return key
        case "DoesNotExist":
            return f"!{key}"
    raise ValueError(f"the operator {operator}")


def _equal(key: object, value: object) -> str:
    return f"{_key(key)}={_value(value)}"


def _key(found: object) -> str:
    if isinstance(found, str) and _KEY(found):
        return found
    raise ValueError(f"the label {found}")


def _value(found: object) -> str:
    if isinstance(found, str) and _VALUE(found):
        return found
    raise ValueError(f"the value {found}")


def assigned(nodes: Iterable[Asked], pools: Sequence[tuple[str, bytes, Collection[str]]]
             ) -> list[Asked]:  # fmt: skip
    """Return the nodes, each with what its own DaemonSet brings.

    `pools` are a DaemonSet's name, what it brings, and its nodes. A node with none or with several
    is not asked: what it would get is not known.
    """
    return [_assigned(one, [pool for pool in pools if one.node in pool[2]]) for one in nodes]


def _assigned(one: Asked, pools: Sequence[tuple[str, bytes, Collection[str]]]) -> Asked:
    match pools:
        case [(_, given, _)]:
            return one._replace(given=given)
        case []:
            return one._replace(why="no DaemonSet of the manifests selects it")
    names = ", ".join(text.word(name) for name, _, _ in pools)
    return one._replace(why=f"several DaemonSets of the manifests select it ({names})")
