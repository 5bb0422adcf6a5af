"""Workloads and calls of the usual form, checked in few steps: a fleet's report has millions.

Nodes repeat names, outcomes and modes: each combination is checked once, and some are kept. What is
not of the usual form is None; node_workload and call_fields then take it, or say what is wrong with
it. Values are as a JSON decoder makes them, of exactly these types.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from runc_wrap.report.merge import call_fields, node_workload
from runc_wrap.report.merge.call_fields import BadDocument, NodeCall
from runc_wrap.report.merge.node_workload import NodeWorkload
from runc_wrap.report.outcomes import WORST_FIRST
from runc_wrap.report.workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.report.merge.node_workload import Watching

_MOST_KNOWN = 4096  # combinations, of a few thousand characters each at most
_LONGEST_MODE = 64
_POWER = 1 << 49  # bounds each of several numbers if it bounds their bits together
_VERDICTS = (None, *WORST_FIRST)
_CALL = itemgetter(
    "arch", "number", "abi", "syscall", "verdict", "errno", "outcome", "args", "count", "programs",
    "first", "last",
)  # fmt: skip
_WORKLOAD = itemgetter(
    "namespace", "pod", "container", "image", "verdict", "reason", "containers", "running",
    "restarts", "lost", "lost_at_least", "lost_at_most", "dropped", "watched", "since", "modes",
    "profile", "pods", "calls",
)  # fmt: skip


class _Known(dict[tuple[Any, ...], Any]):
    """What combinations of values mean, by the combination; None if they are not usual."""

    def __init__(self, meaning: Callable[..., object]) -> None:
        super().__init__()
        self._meaning = meaning

    def __missing__(self, key: tuple[Any, ...]) -> Any:  # noqa: ANN401 - what the function returns
        found = self._meaning(*key)
        if found is not None:
            if len(self) >= _MOST_KNOWN:
                self.clear()
            self[key] = found
        return found


def _are_texts(values: tuple[object, ...], longest: int) -> bool:
    return all(value is None or (type(value) is str and len(value) <= longest) for value in values)


def _names(*names: Any) -> Workload | None:  # noqa: ANN401 - any JSON value
    return Workload(*names) if _are_texts(names, node_workload.LONGEST_NAME) else None


def _modes(*ran: Any) -> Watching | None:  # noqa: ANN401 - any JSON value
    is_usual = len(ran) <= node_workload.MOST_MODES and _are_texts(ran, _LONGEST_MODE)
    return node_workload.watching_of(ran) if is_usual and None not in ran else None


def _words(*words: Any) -> tuple[Any, ...] | None:  # noqa: ANN401 - any JSON value
    """Return a call's abi, syscall, verdict, errno and outcome."""
    abi, syscall, verdict, errno, outcome = words
    is_usual = _are_texts(words[:4], call_fields.LONGEST_WORD)
    if not is_usual or not _are_texts((outcome,), call_fields.LONGEST_OUTCOME):
        return None
    if verdict not in _VERDICTS:
        return None
    return abi or "", syscall or "", verdict, errno, outcome or "not known"


known_names, _known_modes, _known_words = _Known(_names), _Known(_modes), _Known(_words)


def workload(row: dict[str, Any], block: str | None) -> NodeWorkload | None:
    """Return one workload as node_workload.read does, or None."""
    try:
        (namespace, pod, container, image, verdict, reason, containers, running, restarts, lost,
         lost_at_least, lost_at_most, dropped, watched, since, ran, profile, pods, calls,
         ) = _WORKLOAD(row)  # fmt: skip
        whose = known_names[namespace, pod, container, image]
        watching = _known_modes[tuple(ran)] if type(ran) is list else None
    except (KeyError, TypeError):  # a missing key, or a list among the names
        return None
    if (
        whose is None
        or watching is None
        or verdict not in _VERDICTS
        or not type(containers) is type(running) is type(restarts) is int
        or not type(lost) is type(dropped) is type(watched) is int
        or not 0 <= containers | running | restarts | lost | dropped | watched < _POWER
        or type(lost_at_least) is not bool
        or type(lost_at_most) is not bool
        or not (reason is None or _is_text(reason, node_workload.LONGEST_SENTENCE))
        or not (profile is None or _is_text(profile, node_workload.LONGEST_NAME))
        or not (since is None or _is_time(since))
        or not _are_names(pods, node_workload.MOST_PODS)
        or type(calls) is not list
        or len(calls) > node_workload.MOST_CALLS
    ):
        return None
    return NodeWorkload._make((
        whose, verdict, reason, watching.looks, watching.is_calm(verdict, is_quiet=not calls),
        containers, running, restarts, lost, lost_at_least, lost_at_most, dropped, watched, since,
        ran, profile, pods, block, [call(one) or call_fields.call(one) for one in calls],
    ))  # fmt: skip


def call(value: Any) -> NodeCall | None:  # noqa: ANN401 - any JSON value
    """Return one call as call_fields.call does, or None."""
    try:
        (arch, number, abi, syscall, verdict, errno, outcome, args, times, programs, first, last
         ) = _CALL(value)  # fmt: skip
        words = _known_words[abi, syscall, verdict, errno, outcome]
        kinds = None if args is None else call_fields.arguments(args)
    except (KeyError, TypeError, BadDocument):
        return None
    if (
        words is None
        or not type(arch) is type(number) is type(times) is int
        or not 0 <= arch <= call_fields.UINT32
        or not call_fields.LEAST_NUMBER <= number <= call_fields.UINT32
        or not 0 <= times <= call_fields.LARGEST_NUMBER
        or not (first is None or _is_time(first))
        or not (last is None or _is_time(last))
        or not _are_names(programs, call_fields.MOST_PROGRAMS)
        or (programs and max(map(len, programs)) > call_fields.LONGEST_PROGRAM)
    ):
        return None
    return NodeCall._make((arch, number, *words, kinds, times, programs, first, last))


def _is_text(value: object, longest: int) -> bool:
    return type(value) is str and len(value) <= longest


def _is_time(value: object) -> bool:
    return type(value) is str and call_fields.is_time(value) is not None


def _are_names(values: object, most: int) -> bool:
    return type(values) is list and len(values) <= most and {*map(type, values)} <= {str}
