"""The nodes to which each of several DaemonSets brings its policy: by label selectors of the API.

A DaemonSet's pods go to the nodes of its nodeSelector and of one term of its required affinity, if
they tolerate the node's taints. The API server does the selecting, so that nothing of the nodes'
labels is read here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap import text
from runc_wrap.fleet import taints

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from runc_wrap.fleet.node_list import Asked
    from runc_wrap.fleet.taints import Toleration

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
    """The files that some nodes get: those that meet one of the label selectors; all if none.

    `tolerations` are those of the pods that bring them, None if that is not known.
    """

    daemonset: str
    files: Files
    selectors: tuple[str, ...] = ()
    tolerations: tuple[Toleration, ...] | None = None


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


class Assigned(NamedTuple):
    """A pool, what it brings as it is sent, and its nodes, None for all."""

    pool: Pool
    given: bytes
    nodes: Collection[str] | None = None


def assigned(nodes: Iterable[Asked], pools: Sequence[Assigned]) -> list[Asked]:
    """Return the nodes, each with what its own DaemonSet brings.

    A node with none or with several is not asked: what it would get is not known.
    """
    return [
        _assigned(one, [each for each in pools if each.nodes is None or one.node in each.nodes])
        for one in nodes
    ]


def _assigned(one: Asked, pools: Sequence[Assigned]) -> Asked:
    match pools:
        case [(pool, given, _)]:
            return one._replace(given=given, kept_off=_keeping_off(one, pool))
        case []:
            return one._replace(why="no DaemonSet of the manifests selects it")
    names = ", ".join(text.word(each.pool.daemonset) for each in pools)
    return one._replace(why=f"several DaemonSets of the manifests select it ({names})")


def _keeping_off(one: Asked, pool: Pool) -> str:
    """Return the taint for which a node gets no pod of a pool, "" if there is none."""
    if pool.tolerations is None:
        return ""
    found = taints.keeping_off(one.taints, pool.tolerations)
    return found.words if found else ""
