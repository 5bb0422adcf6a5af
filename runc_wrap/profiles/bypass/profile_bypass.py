"""Checks for ways around the denials of a profile, in addition to those of lint."""

from collections.abc import Collection, Iterator
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
    outcome,
)
from runc_wrap.profiles.source_profile import Profile, Rule
from runc_wrap.profiles.syscalls import having
from runc_wrap.profiles.vocabulary import ACTIONS, OCI


def done_by_a_ring(profile: Profile, _: Context) -> Iterator[LintFinding]:
    """Find calls, denied or compared by arguments, that io_uring replaces unseen by filters."""
    open_to = sorted(io_uring.RINGABLE.intersection({*_compared(profile), *_denied(profile)}))
    if open_to and may(profile, io_uring.SETUP):
        yield LintFinding(
            "done-by-a-ring",
            "warning",
            "syscalls",
            f"denies {', '.join(open_to)}, wholly or by arguments, and allows {io_uring.SETUP}: "
            "io_uring does the same without passing the filter",
            f"deny {', '.join(io_uring.CALLS)}",
        )


def _compared(profile: Profile, by: Collection[str] = ACTIONS) -> set[str]:
    """Return the calls that pass with some arguments only, for rules of certain actions."""
    plain = {name for rule in profile.rules if _passes_plainly(rule) for name in rule.names}
    some = [rule for rule in profile.rules if rule.args and rule.action in by]
    return {name for rule in some for name in rule.names} - plain


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


def done_by_multiplexers(profile: Profile, context: Context) -> Iterator[LintFinding]:
    """Find arguments that nobody compares on ABIs where socketcall or ipc makes the same call.

    libseccomp lets a call that a rule allows, with whatever arguments, through its multiplexer.
    Only a rule that denies that one wholly prevents it, and runtimes drop one with the default's
    action and error.
    """
    listed = {*architectures(profile, context), OCI[context.arch]}
    default = outcome(profile.default_action, profile.default_errno_ret)
    for one, calls in sibling_calls.MULTIPLEXED.items():
        rules = [rule for rule in profile.rules if one in rule.names and is_plain_denial(rule)]
        dropped = [rule for rule in rules if outcome(rule.action, rule.errno_ret) == default]
        open_to = _compared(profile, PERMISSIVE) & calls
        if dropped:
            open_to |= {name for name in calls if may(profile, name)}
        abis = having(one, listed)
        if open_to and abis and len(dropped) == len(rules):
            yield LintFinding(
                "done-by-multiplexers",
                "warning",
                "syscalls",
                f"on {', '.join(sorted(abis))}, {one} makes {', '.join(sorted(open_to))} with any "
                "arguments: no filter sees them, and libseccomp lets allowed calls through it"
                + ("; its denial, which equals the default, is dropped" if dropped else ""),
                f"deny {one} with another error than the default, such as errnoRet 38, or list "
                "only ABIs without it",
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


CHECKS: tuple[Check, ...] = (
    done_by_a_ring,
    done_by_siblings,
    done_by_multiplexers,
    exempt_from_filters,
)
