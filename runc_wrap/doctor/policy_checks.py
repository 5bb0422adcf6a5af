"""Checks of the policy in force: that it can be read, and is what its sources and engines say."""

from collections.abc import Iterator
from functools import partial

from runc_wrap.apply import apply_policy
from runc_wrap.doctor import profiles_in_force, remedies
from runc_wrap.doctor.remedies import Finding, Severity
from runc_wrap.engines.capture import capture_store
from runc_wrap.failure import Failure
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.compiled_policy import CompiledPolicy
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node import installed_programs
from runc_wrap.node.paths import Places
from runc_wrap.policy import runtime_default
from runc_wrap.policy.compiler_facts import Facts, PolicyError
from runc_wrap.policy.settings import policy_sources
from runc_wrap.profiles.captured_profile import CapturedProfile
from runc_wrap.profiles.source_profile import ProfileError

_APPLY = "run runc-wrapctl apply"


def in_force(places: Places) -> Iterator[Finding]:
    """Find a policy that creates cannot read, and profiles that it names but that are missing."""
    try:
        policy = policy_file.load(str(places.prefix))
    except Refusal as refusal:
        yield _unreadable(places, refusal)
        return
    for name, mode in sorted(profiles_in_force.decided(policy)):
        try:
            policy_file.load_profile(policy, name, mode)
        except Refusal as refusal:
            yield _unreadable(places, refusal)


def _unreadable(places: Places, refusal: Refusal) -> Finding:
    sentence = str(refusal).removesuffix(policy_file.AGAIN).rstrip()  # the remedy says it
    return _applied(places, "error", sentence)


def _applied(places: Places, severity: Severity, sentence: str) -> Finding:
    """Return a finding that goes away once the policy's sources are put in force."""
    fix = partial(apply_policy.put_in_force, places)
    return remedies.Finding(severity, sentence, _APPLY, remedies.ctl(places, "apply"), fix)


def sources(places: Places) -> Iterator[Finding]:
    """Find changed and invalid sources, and changes of the node since the policy was compiled."""
    try:
        for change in policy_sources.changes(places.sources(), places.current):
            is_whole = change == policy_sources.UNRECORDED
            sentence = change if is_whole else f"{change} since the policy in force was compiled"
            yield _applied(places, "warning", sentence)
        compiled, remarks = apply_policy.check(places)
    except (Failure, OSError) as error:
        remedy = f"fix it, then {_APPLY}; until then the policy in force stays"
        for line in str(error).splitlines():
            yield remedies.error(line, remedy, remedies.policy(places))
        return
    yield from _moved(places, compiled.policy)
    for remark in remarks:
        yield _of_remark(places, remark)


def _of_remark(places: Places, remark: str) -> Finding:
    severity, _, text = remark.partition(": ")
    sentence, _, remedy = text.rstrip(".").rpartition("; ")
    made = remedies.warning if severity == "warning" else remedies.note
    advice = remedy if sentence else "if that is not meant, change it"
    command = "" if advice.startswith("do nothing") else remedies.policy(places)
    return made(sentence or text, advice, command)


def _moved(places: Places, fresh: CompiledPolicy) -> Iterator[Finding]:
    """Find what an upgrade of an engine or of the runtime changed."""
    before = installed_programs.policy_in_force(places.prefix)
    if before is None:
        return
    old, new = before["runtime_default"], fresh["runtime_default"]
    for engine in sorted(new):
        if old.get(engine) != new[engine]:
            sentence = f"runtime-default of {engine} is {old.get(engine)}, and would be now"
            yield _applied(places, "warning", f"{sentence} {new[engine]}")
    if before["runtime"] != fresh["runtime"]:
        was, now = ("{path} ({kind} {version})".format(**one["runtime"]) for one in (before, fresh))
        yield _applied(places, "warning", f"the runtime was {was}, and is now {now}")


def captured(places: Places) -> Iterator[Finding]:
    """Find captures that no longer hold, and built-in profiles that differ from a capture."""
    try:
        captures = capture_store.read(places)
        if not captures:
            return
        facts = apply_policy.facts_of_engines()
    except ProfileError as error:
        remedy, command = "remove it, or capture again", remedies.line("rm", places.captured)
        yield remedies.warning(str(error), remedy, command)
        return
    policy = installed_programs.policy_in_force(places.prefix)
    given = policy["runtime_default"] if policy else {}
    for each in captures.values() if policy else ():
        if each.engine in facts.engines and each.stale:
            yield _stale(places, each, is_used=given.get(each.engine) == each.name)
        elif each.engine in facts.engines:
            yield from _differing(places, each, facts, given.get(each.engine, ""))


def _stale(places: Places, capture: CapturedProfile, *, is_used: bool) -> Finding:
    """Return the finding; the check of the policy's sources says if `apply` would refuse."""
    of = ("--config", capture.config) if capture.config else ()
    command = remedies.ctl(places, "profile", "capture", capture.engine, *of)
    sentence = f"the captured default of {capture.engine} no longer holds: {capture.stale}"
    return (remedies.warning if is_used else remedies.note)(sentence, "capture it again", command)


def _differing(
    places: Places, capture: CapturedProfile, facts: Facts, given: str
) -> Iterator[Finding]:
    try:
        table = runtime_default.table_name(capture.engine, facts)
        found = runtime_default.differences_from_table(capture, facts) if given == table else []
    except (PolicyError, ProfileError):  # the check of the policy's sources reports it
        return
    if found:
        first = f"{found[0].rule} is only {found[0].only}"
        which = f"{capture.engine} {capture.version} applies another default than {table}"
        sentence = f"{which}, which the policy gives: {len(found)} differences ({first})"
        remedy = 'write source = "captured" in [runtime_default], and apply'
        yield remedies.warning(sentence, remedy, remedies.policy(places))
