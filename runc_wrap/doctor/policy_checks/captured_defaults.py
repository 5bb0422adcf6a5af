"""Whether the profile that the policy gives as an engine's default is what that engine applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.apply import apply_policy
from runc_wrap.doctor import remedies
from runc_wrap.doctor.remedies import Finding
from runc_wrap.engines.capture import capture_store
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.policy import runtime_default
from runc_wrap.policy.compiler_facts import Facts, PolicyError
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places
    from runc_wrap.profiles.captured_profile import CapturedProfile

NAME = "captured"


def find(places: Places) -> Iterator[Finding]:
    """Find captures that no longer hold, and built-in profiles that differ from a capture."""
    try:
        captured = capture_store.read(places)
        if not captured:
            return
        facts = apply_policy.facts_of_engines()
        in_force = policy_file.load(str(places.prefix))["runtime_default"]
    except ProfileError as error:
        sentence, remedy = str(error), "remove it, or capture again"
        yield Finding(NAME, "warning", sentence, remedy, remedies.line("rm", places.captured))
        return
    except Refusal:  # policy_in_force reports it
        return
    for each in captured.values():
        if each.engine not in facts.engines:
            continue
        if each.stale:
            yield _stale(places, each, is_used=in_force.get(each.engine) == each.name)
        else:
            yield from _differing(places, each, facts, in_force.get(each.engine, ""))


def _stale(places: Places, captured: CapturedProfile, *, is_used: bool) -> Finding:
    """Return the finding; the check of the policy's sources says if `apply` would refuse."""
    of = ("--config", captured.config) if captured.config else ()
    command = remedies.ctl(places, "profile", "capture", captured.engine, *of)
    sentence = f"the captured default of {captured.engine} no longer holds: {captured.stale}"
    return Finding(NAME, "warning" if is_used else "note", sentence, "capture it again", command)


def _differing(
    places: Places, captured: CapturedProfile, facts: Facts, in_force: str
) -> Iterator[Finding]:
    try:
        table = runtime_default.table_name(captured.engine, facts)
        found = runtime_default.differences_from_table(captured, facts) if in_force == table else []
    except (PolicyError, ProfileError):  # the check of the policy's sources reports it
        return
    if found:
        first = f"{found[0].rule} is only {found[0].only}"
        sentence = (
            f"{captured.engine} {captured.version} applies another default than {table}, which the "
            f"policy gives: {len(found)} differences ({first})"
        )
        remedy = 'write source = "captured" in [runtime_default], and apply'
        yield Finding(NAME, "warning", sentence, remedy, remedies.policy(places))
