"""Checks on what a profile denies: ways around it, and who cannot do without the call."""

from collections.abc import Collection, Iterator
from errno import ENOSYS

from runc_wrap.hotpath.operators import GE, GT, NE
from runc_wrap.profiles.abis import of_oci
from runc_wrap.profiles.actions import code, is_default
from runc_wrap.profiles.arguments.narrowed_comparisons import is_wide
from runc_wrap.profiles.profile_lint import Context, LintFinding, Said, check, finds, rules
from runc_wrap.profiles.runtime_spec_names import ACTIONS, ERRNO, OCI, PASSING
from runc_wrap.profiles.sibling_calls import (
    EXEMPT,
    MULTIPLEXED,
    RING_CALLS,
    RING_SETUP,
    RINGABLE,
    SIBLINGS,
)
from runc_wrap.profiles.source_profile import Profile, Rule
from runc_wrap.profiles.syscall_names import having, numbers
from runc_wrap.profiles.unobserved_calls import RUNTIME_CALLS

UPPER_BITS = "upper-bits"
_HOLD_ABOVE = frozenset({NE, GT, GE})


def may(profile: Profile, name: str) -> bool:
    """Tell whether any form of a call passes in a container without capabilities."""
    rules = [rule for rule in profile.rules if name in rule.names and not rule.includes.caps]
    if any(_is_plain_denial(rule) for rule in rules):
        return False
    allowed = any(rule.action in PASSING for rule in rules)
    return allowed or profile.default_action in PASSING


def _is_plain_denial(rule: Rule) -> bool:
    """Tell whether a rule denies a call regardless of its arguments."""
    return rule.action not in PASSING and not rule.args


def _compared(profile: Profile, by: Collection[str] = ACTIONS) -> set[str]:
    """Return the calls that pass with some arguments only, for rules of certain actions."""
    passing = [rule for rule in profile.rules if rule.action in PASSING and not rule.args]
    plain = {name for rule in passing if not rule.includes.caps for name in rule.names}
    some = [rule for rule in profile.rules if rule.args and rule.action in by]
    return {name for rule in some for name in rule.names} - plain


def _denied(profile: Profile) -> list[str]:
    """Return the calls denied regardless of arguments, but not those to be retried (ENOSYS)."""
    plain = [rule for rule in profile.rules if _is_plain_denial(rule) and rule.errno_ret != ENOSYS]
    named = dict.fromkeys(name for rule in plain for name in rule.names)
    return [name for name in named if not may(profile, name)]


@check
def runtime_calls_denied(profile: Profile, _: Context) -> Iterator[LintFinding]:
    """Find denied calls that the runtime itself makes after it has loaded the filter.

    Only a denied execve stops every container: with noNewPrivileges the filter is loaded last.
    """
    denied = [name for name in sorted(RUNTIME_CALLS) if not may(profile, name)]
    if denied:
        yield LintFinding(
            "runtime-calls-denied",
            "error" if "execve" in denied else "warning",
            "syscalls",
            f"denies {', '.join(denied)} to containers without capabilities, but runc or crun "
            "needs them after loading the filter; containers may not start",
            "allow them; with noNewPrivileges fewer are needed, but execve always is",
        )


@finds("fallback-denied", "warning", "give them SCMP_ACT_ERRNO with errnoRet 38, by a rule")
def fallback_denied(profile: Profile, context: Context) -> Said:
    """Find calls whose callers try an older call only after ENOSYS, denied with something else.

    runc returns ENOSYS for calls above the last one that a profile names (patchbpf), crun never.
    """
    named = [_number(one, context) for rule in profile.rules for one in rule.names]
    last = max(named, default=0) if context.runc else None
    found = [name for name in _WITH_FALLBACK if _is_denied_otherwise(profile, name, context, last)]
    if found:
        what = (
            f"denies {', '.join(found)} without ENOSYS, after which alone the C library makes the "
            "older call; runc returns it only for calls newer than all that a profile names, crun "
            "for none"
        )
        yield "syscalls", what


# glibc 2.42 clone-internal.c, faccessat.c, fchmodat.c, statx.c; as in moby issue 42680
_WITH_FALLBACK = ("clone3", "faccessat2", "fchmodat2", "statx")


def _is_denied_otherwise(profile: Profile, name: str, context: Context, last: int | None) -> bool:
    own = [rule for rule in profile.rules if name in rule.names and _is_plain_denial(rule)]
    codes = {code(rule.action, rule.errno_ret) for rule in own}
    if may(profile, name) or (not codes and last is not None and _number(name, context) > last):
        return False
    passing = [rule for rule in profile.rules if name in rule.names and rule.action in PASSING]
    allowed = {cap for rule in passing for cap in rule.includes.caps}
    bringing = {cap for rule in own for cap in rule.includes.caps}
    spared = {cap for rule in own for cap in rule.excludes.caps} - bringing
    always = any(not (rule.includes.caps or rule.excludes.caps) for rule in own)
    applies = all(rule.includes.caps for rule in own) or not spared <= allowed
    if applies and not always and profile.default_action not in PASSING:
        # the default does so without one of these capabilities, or with one
        codes.add(code(profile.default_action, profile.default_errno_ret))
    return codes != {code(ERRNO, ENOSYS)}


def _number(name: str, context: Context) -> int:
    return numbers(of_oci(OCI[context.arch])).get(name, 0)


@finds("waits-end", "warning", "allow restart_syscall")
def waits_end(profile: Profile, _: Context) -> Said:
    """Find profiles without the call by which the kernel continues a wait that was stopped."""
    waiting = [name for name in _CONTINUED if may(profile, name)]
    if waiting and not may(profile, _RESTART):
        what = (
            f"denies {_RESTART}, by which the kernel continues {', '.join(waiting)} after a stop: "
            "when a container is paused (cgroup v2) or a process gets SIGSTOP, they fail"
        )
        yield "syscalls", what


_RESTART = "restart_syscall"  # linux:kernel/signal.c; for calls with a relative timeout
_CONTINUED = ("futex", "nanosleep", "poll")


@finds("done-by-a-ring", "warning", f"deny {', '.join(RING_CALLS)}")
def done_by_a_ring(profile: Profile, _: Context) -> Said:
    """Find calls, denied or compared by arguments, that io_uring replaces unseen by filters."""
    open_to = sorted(RINGABLE.intersection({*_compared(profile), *_denied(profile)}))
    if open_to and may(profile, RING_SETUP):
        what = (
            f"denies {', '.join(open_to)}, wholly or by arguments, and allows {RING_SETUP}: "
            "io_uring does the same without passing the filter"
        )
        yield "syscalls", what


@finds(
    "done-by-siblings", "note", "deny these as well if the denial is meant for what the call does"
)
def done_by_siblings(profile: Profile, context: Context) -> Said:
    """Find calls denied by name while others that do the same, or part of it, are permitted."""
    listed = {*profile.abis(context.arch), OCI[context.arch]}
    for call in _denied(profile):
        known = SIBLINGS.get(call, ())
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
    for one, calls in MULTIPLEXED.items():
        own = [rule for rule in profile.rules if one in rule.names and _is_plain_denial(rule)]
        dropped = [rule for rule in own if is_default(rule, profile)]
        open_to = _compared(profile, PASSING) & calls
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
    "exempt-from-filters", "note", "do nothing: these calls work only where the kernel placed them"
)
def exempt_from_filters(profile: Profile, _: Context) -> Said:
    """Find denials of calls that Linux exempts from every filter."""
    if exempt := [name for name in _denied(profile) if name in EXEMPT]:
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
        bad = [one for one in rule.args if (one.op in _HOLD_ABOVE) == (rule.action in PASSING)]
        passed = [name for name in rule.names if any(is_wide(one, name) for one in bad)]
        if passed and not is_default(rule, profile):
            what = (
                "compares all 64 bits of an argument of which the kernel uses fewer, so that "
                f"programs evade it by setting upper bits ({', '.join(passed)}; "
                "as in CVE-2019-10063 and CVE-2019-7303)"
            )
            yield place, what
