"""Whether the policy in force is still what its sources would compile to on this node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.apply import apply_policy
from runc_wrap.doctor import remedies
from runc_wrap.doctor.policy_checks import policy_in_force
from runc_wrap.doctor.remedies import Finding, Severity
from runc_wrap.failure import Failure
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.policy.settings import policy_sources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.hotpath.compiled_policy import CompiledPolicy
    from runc_wrap.node.paths import Places

NAME = "sources"
_APPLY = "run runc-wrapctl apply"


def find(places: Places) -> Iterator[Finding]:
    """Find changed and invalid sources, and changes of the node since the policy was compiled."""
    try:
        for change in policy_sources.changes(places.sources(), places.current):
            is_whole = change == policy_sources.UNRECORDED
            sentence = change if is_whole else f"{change} since the policy in force was compiled"
            yield _stale(places, sentence)
        compiled, remarks = apply_policy.check(places)
    except (Failure, OSError) as error:
        for line in str(error).splitlines():
            remedy = f"fix it, then {_APPLY}; until then the policy in force stays"
            yield Finding(NAME, "error", line, remedy, remedies.policy(places))
        return
    yield from _moved(places, compiled.policy)
    for remark in remarks:
        yield _finding(places, remark)


def _stale(places: Places, sentence: str) -> Finding:
    command = remedies.ctl(places, "apply")
    return Finding(NAME, "warning", sentence, _APPLY, command, policy_in_force.fix(places))


def _finding(places: Places, remark: str) -> Finding:
    severity, _, text = remark.partition(": ")
    sentence, _, remedy = text.rstrip(".").rpartition("; ")
    kind: Severity = "warning" if severity == "warning" else "note"
    advice = remedy if sentence else "if that is not meant, change it"
    command = "" if advice.startswith("do nothing") else remedies.policy(places)
    return Finding(NAME, kind, sentence or text, advice, command)


def _moved(places: Places, fresh: CompiledPolicy) -> Iterator[Finding]:
    """Find what an upgrade of an engine or of the runtime changed."""
    try:
        before = policy_file.load(str(places.prefix))
    except Refusal:
        return
    old, new = before["runtime_default"], fresh["runtime_default"]
    for engine in sorted(new):
        if old.get(engine) != new[engine]:
            sentence = f"runtime-default of {engine} is {old.get(engine)}, and would be now"
            yield _stale(places, f"{sentence} {new[engine]}")
    if before["runtime"] != fresh["runtime"]:
        was, now = (
            "{path} ({kind} {version})".format(**each["runtime"]) for each in (before, fresh)
        )
        yield _stale(places, f"the runtime was {was}, and is now {now}")
