"""Checks for ways around the denials of a profile, in addition to those of lint."""

from runc_wrap.hotpath.operators import GE, GT, NE
from runc_wrap.profiles.actions import is_default
from runc_wrap.profiles.arguments.narrowed_comparisons import is_wide
from runc_wrap.profiles.bypass import io_uring, sibling_calls
from runc_wrap.profiles.lint_finding import (
    PERMISSIVE,
    Check,
    Context,
    Said,
    compared,
    denied,
    finds,
    is_plain_denial,
    may,
    rules,
)
from runc_wrap.profiles.runtime_spec_names import OCI
from runc_wrap.profiles.source_profile import Argument, Profile, Rule
from runc_wrap.profiles.syscall_names import having

UPPER_BITS = "upper-bits"
_HOLD_ABOVE = frozenset({NE, GT, GE})


@finds(
    "done-by-siblings", "note", "deny these as well if the denial is meant for what the call does"
)
def done_by_siblings(profile: Profile, context: Context) -> Said:
    """Find calls denied by name while others that do the same, or part of it, are permitted."""
    listed = {*profile.abis(context.arch), OCI[context.arch]}
    for call in denied(profile):
        known = sibling_calls.SIBLINGS.get(call, ())
        if others := [one for one in known if may(profile, one) and having(one, listed)]:
            names = ", ".join(others)
            yield "syscalls", f"denies {call}, but permits {names}, which do the same or part of it"


@finds(
    "done-by-multiplexers",
    "warning",
    "deny it with another error than the default, such as errnoRet 38, or list only ABIs without "
    "it",
)
def done_by_multiplexers(profile: Profile, context: Context) -> Said:
    """Find arguments that nobody compares on ABIs where socketcall or ipc makes the same call.

    libseccomp lets a call that a rule allows, with whatever arguments, through its multiplexer.
    Only a rule that denies that one wholly prevents it, and runtimes drop one with the default's
    action and error.
    """
    listed = {*profile.abis(context.arch), OCI[context.arch]}
    for one, calls in sibling_calls.MULTIPLEXED.items():
        own = [rule for rule in profile.rules if one in rule.names and is_plain_denial(rule)]
        dropped = [rule for rule in own if is_default(rule, profile)]
        open_to = compared(profile, PERMISSIVE) & calls
        if dropped:
            open_to |= {name for name in calls if may(profile, name)}
        abis = having(one, listed)
        if open_to and abis and len(dropped) == len(own):
            why = "; its denial, which equals the default, is dropped" if dropped else ""
            what = (
                f"on {', '.join(sorted(abis))}, {one} makes {', '.join(sorted(open_to))} with any "
                f"arguments: no filter sees them; libseccomp lets allowed calls through it{why}"
            )
            yield "syscalls", what


@finds(
    "exempt-from-filters",
    "note",
    "do nothing: these calls work only where the kernel placed them",
)
def exempt_from_filters(profile: Profile, _: Context) -> Said:
    """Find denials of calls that Linux exempts from every filter."""
    if exempt := [name for name in denied(profile) if name in sibling_calls.EXEMPT]:
        what = (
            f"denies {', '.join(exempt)}, which Linux since 6.14 (uretprobe) and 6.18 (uprobe) "
            "exempts from every filter"
        )
        yield "syscalls", what


@finds(
    UPPER_BITS,
    "warning",
    'compare with SCMP_CMP_MASKED_EQ, or write default.int_arguments = "kernel"',
)
def passed_by_upper_bits(profile: Profile, _: Context) -> Said:
    """Find comparisons that a program evades by setting register bits that the kernel ignores.

    Such bits do not defeat a rule that allows a single number. They defeat a rule that allows all
    numbers but one, and a rule that denies one number.
    """
    for place, rule in rules(profile):
        passed = [name for name in rule.names if any(_passed(rule, a, name) for a in rule.args)]
        if passed and not is_default(rule, profile):
            what = (
                "compares all 64 bits of an argument of which the kernel uses fewer, so that "
                f"programs evade it by setting upper bits ({', '.join(passed)}; "
                "as in CVE-2019-10063 and CVE-2019-7303)"
            )
            yield place, what


def _passed(rule: Rule, one: Argument, name: str) -> bool:
    """Tell whether upper bits make a comparison permit a call that it would otherwise deny."""
    if not is_wide(one, name):
        return False
    return (one.op in _HOLD_ABOVE) == (rule.action in PERMISSIVE)


CHECKS: tuple[Check, ...] = (
    io_uring.done_by_a_ring,
    done_by_siblings,
    done_by_multiplexers,
    exempt_from_filters,
    passed_by_upper_bits,
)
