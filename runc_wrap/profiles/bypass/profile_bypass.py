"""Checks for ways around the denials of a profile, in addition to those of lint."""

from collections.abc import Iterator
from errno import ENOSYS

from runc_wrap.profiles.bypass import io_uring, sibling_calls
from runc_wrap.profiles.lint_finding import (
    PERMISSIVE,
    Check,
    Context,
    LintFinding,
    architectures,
    is_plain_denial,
    may,
)
from runc_wrap.profiles.source_profile import Profile, Rule
from runc_wrap.profiles.syscalls import having
from runc_wrap.profiles.vocabulary import OCI


def done_by_a_ring(profile: Profile, _: Context) -> Iterator[LintFinding]:
    """Find calls, denied or compared by arguments, that io_uring replaces unseen by filters."""
    plain = {name for rule in profile.rules if _passes_plainly(rule) for name in rule.names}
    compared = {name for rule in profile.rules if rule.args for name in rule.names} - plain
    open_to = sorted(io_uring.RINGABLE.intersection(compared.union(_denied(profile))))
    if open_to and may(profile, io_uring.SETUP):
        yield LintFinding(
            "done-by-a-ring",
            "warning",
            "syscalls",
            f"denies {', '.join(open_to)}, wholly or by arguments, and allows {io_uring.SETUP}: "
            "io_uring does the same without passing the filter",
            f"deny {', '.join(io_uring.CALLS)}",
        )


def _passes_plainly(rule: Rule) -> bool:
    return rule.action in PERMISSIVE and not rule.args and not rule.includes.caps


def _denied(profile: Profile) -> list[str]:
    """Return the calls denied regardless of arguments, but not those to be retried (ENOSYS)."""
    rules = [rule for rule in profile.rules if is_plain_denial(rule) and rule.errno_ret != ENOSYS]
    named = dict.fromkeys(name for rule in rules for name in rule.names)
    return [name for name in named if not may(profile, name)]


def done_by_siblings(profile: Profile, context: Context) -> Iterator[LintFinding]:
    """Find calls denied by name while others that do the same, or part of it, are permitted."""
    listed = {*architectures(profile, context), OCI[context.arch]}
    for call in _denied(profile):
        others = [
            other
            for other in sibling_calls.SIBLINGS.get(call, ())
            if may(profile, other) and having(other, listed)
        ]
        if others:
            yield LintFinding(
                "done-by-siblings",
                "note",
                "syscalls",
                f"denies {call}, but permits {', '.join(others)}, which can do the same or "
                "part of it",
                "deny these as well if the denial is meant for what the call does",
            )


def exempt_from_filters(profile: Profile, _: Context) -> Iterator[LintFinding]:
    """Find denials of calls that Linux exempts from every filter."""
    if exempt := [name for name in _denied(profile) if name in sibling_calls.EXEMPT]:
        yield LintFinding(
            "exempt-from-filters",
            "note",
            "syscalls",
            f"denies {', '.join(exempt)}, which Linux since 6.14 (uretprobe) and 6.18 (uprobe) "
            "exempts from every filter",
            "do nothing: these calls work only where the kernel placed them",
        )


CHECKS: tuple[Check, ...] = (done_by_a_ring, done_by_siblings, exempt_from_filters)
