"""The type of a profile check, its findings, and questions about a profile that checks share."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from errno import ENOSYS
from typing import Literal

from runc_wrap.profiles.engine_versions import Version
from runc_wrap.profiles.runtime_spec_names import ACTIONS, NOTIFY
from runc_wrap.profiles.source_profile import Kernel, Profile, Rule

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Context:
    """Where the profile will be used: GOARCH, and the version of runc if that is the runtime."""

    arch: str
    kernel: Kernel
    runc: Version | None = None


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One finding: its place in the profile, its consequence, and what to do.

    error: no container starts with the profile, or a rule is weaker than its text.
    warning: containers start, but their confinement differs from what the profile appears to say,
    or programs fail that need not. note: the profile works as it reads.
    """

    check: str
    severity: Severity
    place: str
    sentence: str
    remedy: str


Said = Iterator[tuple[str, str]]
Check = Callable[[Profile, Context], Iterator[LintFinding]]


def finds(
    check: str, severity: Severity, remedy: str
) -> Callable[[Callable[[Profile, Context], Said]], Check]:
    """Make a check of a function that yields each place, and a sentence on it."""

    def made(find: Callable[[Profile, Context], Said]) -> Check:
        def found(profile: Profile, context: Context) -> Iterator[LintFinding]:
            for place, sentence in find(profile, context):
                yield LintFinding(check, severity, place, sentence, remedy)

        return found

    return made


def rules(profile: Profile) -> Iterable[tuple[str, Rule]]:
    """Return the rules, each with its place."""
    return ((f"syscalls[{index}]", rule) for index, rule in enumerate(profile.rules))


PERMISSIVE = frozenset({"SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", NOTIFY})


def may(profile: Profile, name: str) -> bool:
    """Tell whether any form of a call passes in a container without capabilities."""
    rules = [rule for rule in profile.rules if name in rule.names and not rule.includes.caps]
    if any(is_plain_denial(rule) for rule in rules):
        return False
    allowed = any(rule.action in PERMISSIVE for rule in rules)
    return allowed or profile.default_action in PERMISSIVE


def is_plain_denial(rule: Rule) -> bool:
    """Tell whether a rule denies a call regardless of its arguments."""
    return rule.action not in PERMISSIVE and not rule.args


def compared(profile: Profile, by: Collection[str] = ACTIONS) -> set[str]:
    """Return the calls that pass with some arguments only, for rules of certain actions."""
    plain = {name for rule in profile.rules if _passes_plainly(rule) for name in rule.names}
    some = [rule for rule in profile.rules if rule.args and rule.action in by]
    return {name for rule in some for name in rule.names} - plain


def _passes_plainly(rule: Rule) -> bool:
    return rule.action in PERMISSIVE and not rule.args and not rule.includes.caps


def denied(profile: Profile) -> list[str]:
    """Return the calls denied regardless of arguments, but not those to be retried (ENOSYS)."""
    plain = [rule for rule in profile.rules if is_plain_denial(rule) and rule.errno_ret != ENOSYS]
    named = dict.fromkeys(name for rule in plain for name in rule.names)
    return [name for name in named if not may(profile, name)]
