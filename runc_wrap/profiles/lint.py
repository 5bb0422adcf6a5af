"""How a runtime, libseccomp or the kernel will interpret a profile that parses.

A check is a function from profile and context to findings, entered in CHECKS. The checks never
change or refuse a profile: `formats` refuses invalid ones, and the operator decides on the rest.
"""

from collections.abc import Iterator
from errno import ENOSYS

from runc_wrap.hotpath.comparison import GE, GT, NE
from runc_wrap.profiles.abis import of_oci
from runc_wrap.profiles.arguments.narrowed_comparisons import is_wide
from runc_wrap.profiles.bypass import profile_bypass
from runc_wrap.profiles.engine_versions import Version, reached
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
from runc_wrap.profiles.never_asked import RUNTIME_CALLS
from runc_wrap.profiles.source_profile import Argument, Profile, Rule
from runc_wrap.profiles.syscalls import known_to_libseccomp, numbers
from runc_wrap.profiles.vocabulary import (
    CAPABILITIES,
    ERRNO,
    GOARCH,
    NOTIFY,
    OCI,
)

UPPER_BITS = "upper-bits"
_HOLD_ABOVE = frozenset({NE, GT, GE})


def check(profile: Profile, context: Context) -> list[LintFinding]:
    """Return the findings of all checks, in the order of CHECKS, then of profile_bypass.CHECKS."""
    checks = (*CHECKS, *profile_bypass.CHECKS)
    return [finding for one in checks for finding in one(profile, context)]


def _place(index: int) -> str:
    return f"syscalls[{index}]"


def unknown_syscalls(profile: Profile, _: Context) -> Iterator[LintFinding]:
    """Find names that libseccomp does not know: runc and crun ignore them."""
    named = {name for rule in profile.rules for name in rule.names}
    known = known_to_libseccomp(named)
    if known is None:
        yield LintFinding(
            "unknown-syscalls",
            "note",
            "syscalls",
            "libseccomp is not installed, so the names of system calls were not checked",
            "install libseccomp2",
        )
        return
    for index, rule in enumerate(profile.rules):
        if unknown := [name for name in rule.names if name not in known]:
            yield LintFinding(
                "unknown-syscalls",
                "warning",
                _place(index),
                f"libseccomp does not know {', '.join(unknown)}; runtimes ignore such names",
                "correct the spelling, or keep them for a newer libseccomp",
            )


def same_as_default(profile: Profile, _: Context) -> Iterator[LintFinding]:
    """Find rules with the same effect as the default action: runc drops them."""
    default = outcome(profile.default_action, profile.default_errno_ret)
    for index, rule in enumerate(profile.rules):
        if outcome(rule.action, rule.errno_ret) == default:
            yield LintFinding(
                "same-as-default",
                "note",
                _place(index),
                f"has the effect of the default action {profile.default_action}; runc drops it",
                "remove the rule, or give it another action or error",
            )


def repeated_arguments(profile: Profile, _: Context) -> Iterator[LintFinding]:
    """Find rules that compare one argument twice: runc and crun split them into several rules."""
    for index, rule in enumerate(profile.rules):
        indexes = [argument.index for argument in rule.args]
        if len(set(indexes)) < len(indexes):
            yield LintFinding(
                "repeated-arguments",
                "warning",
                _place(index),
                "compares one argument more than once; runtimes then join these by OR, not by AND",
                "write one rule for each intended range",
            )


def passed_by_upper_bits(profile: Profile, _: Context) -> Iterator[LintFinding]:
    """Find comparisons that a program evades by setting register bits that the kernel ignores.

    Such bits do not defeat a rule that allows a single number. They defeat a rule that allows all
    numbers but one, and a rule that denies one number.
    """
    default = outcome(profile.default_action, profile.default_errno_ret)
    for index, rule in enumerate(profile.rules):
        if outcome(rule.action, rule.errno_ret) == default:
            continue
        passed = [name for name in rule.names if any(_passed(rule, a, name) for a in rule.args)]
        if passed:
            yield LintFinding(
                UPPER_BITS,
                "warning",
                _place(index),
                f"compares all 64 bits of an argument of which the kernel uses fewer, so that "
                f"programs evade it by setting upper bits ({', '.join(passed)}; "
                "as in CVE-2019-10063 and CVE-2019-7303)",
                'compare with SCMP_CMP_MASKED_EQ, or write default.int_arguments = "kernel"',
            )


def _passed(rule: Rule, one: Argument, name: str) -> bool:
    """Tell whether upper bits make a comparison permit a call that it would otherwise deny."""
    if not is_wide(one, name):
        return False
    return (one.op in _HOLD_ABOVE) == (rule.action in PERMISSIVE)


def flags_refused(profile: Profile, context: Context) -> Iterator[LintFinding]:
    """Find flags if runc is older than 1.2, which refuses any."""
    if profile.flags and context.runc is not None and not reached(context.runc, "1.2.0"):
        yield LintFinding(
            "flags-refused",
            "error",
            "flags",
            f"runc {context.runc} refuses every profile with flags",
            "remove flags, or install runc 1.2",
        )


_ARCHITECTURE_SINCE = {
    "SCMP_ARCH_RISCV64": "1.1.15 1.2.0",
    "SCMP_ARCH_LOONGARCH64": "1.5.0",
}


def architectures_refused(profile: Profile, context: Context) -> Iterator[LintFinding]:
    """Find architectures that the runc in use does not know: it refuses their names.

    This is a warning if a later runc knows the name: distributions backport that to older ones
    (Debian's 1.1.15 accepts LOONGARCH64).
    """
    for name in architectures(profile, context):
        since = _ARCHITECTURE_SINCE.get(name)
        if context.runc is not None and not _takes(context.runc, name):
            yield LintFinding(
                "architectures-refused",
                "warning" if since else "error",
                "architectures",
                f"upstream's runc {context.runc} refuses profiles that name {name}",
                "remove it" + (f", or install runc {since.split()[-1]}" if since else ""),
            )


def _takes(runc: Version, architecture: str) -> bool:
    """Tell whether runc knows an architecture; it never knew those without a Go port."""
    since = _ARCHITECTURE_SINCE.get(architecture)
    return architecture in GOARCH and (since is None or reached(runc, since))


def native_missing(profile: Profile, context: Context) -> Iterator[LintFinding]:
    """Find a list of architectures without the machine's own."""
    listed = architectures(profile, context)
    if listed and OCI[context.arch] not in listed:
        yield LintFinding(
            "native-missing",
            "warning",
            "architectures",
            f"does not list {OCI[context.arch]}, which this machine's programs use; "
            "runtimes add it automatically",
            f"add {OCI[context.arch]}",
        )


def unknown_capabilities(profile: Profile, _: Context) -> Iterator[LintFinding]:
    """Find conditions on capabilities that no Linux release known here has."""
    for index, rule in enumerate(profile.rules):
        asked = {*rule.includes.caps, *rule.excludes.caps}
        if unknown := sorted(asked - CAPABILITIES):
            yield LintFinding(
                "unknown-capabilities",
                "warning",
                _place(index),
                f"depends on {', '.join(unknown)}, which no container can have",
                "correct the spelling",
            )


def listener_missing(profile: Profile, context: Context) -> Iterator[LintFinding]:
    """Find SCMP_ACT_NOTIFY without a listener: runc refuses it, crun needs an annotation."""
    if profile.listener_path is None:
        for index, rule in enumerate(profile.rules):
            if rule.action == NOTIFY:
                yield LintFinding(
                    "listener-missing",
                    "warning" if context.runc is None else "error",
                    _place(index),
                    "sends notifications, but there is no listenerPath; runc refuses that, "
                    "and under crun the calls fail with ENOSYS",
                    "set listenerPath to the agent's socket",
                )


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


def fallback_denied(profile: Profile, context: Context) -> Iterator[LintFinding]:
    """Find calls whose callers try an older call only after ENOSYS, denied with something else.

    runc returns ENOSYS for calls above the last one that a profile names (patchbpf), crun never.
    """
    last = _last_named(profile, context) if context.runc else None
    found = [name for name in _WITH_FALLBACK if _is_denied_otherwise(profile, name, context, last)]
    if found:
        yield LintFinding(
            "fallback-denied",
            "warning",
            "syscalls",
            f"denies {', '.join(found)} without ENOSYS, after which alone the C library makes the "
            "older call; runc returns it only for calls newer than all that a profile names, crun "
            "for none",
            f"add a rule that gives {', '.join(found)} SCMP_ACT_ERRNO with errnoRet 38",
        )


# glibc 2.42 clone-internal.c, faccessat.c, fchmodat.c, statx.c; as in moby issue 42680
_WITH_FALLBACK = ("clone3", "faccessat2", "fchmodat2", "statx")


def _is_denied_otherwise(profile: Profile, name: str, context: Context, last: int | None) -> bool:
    rules = [rule for rule in profile.rules if name in rule.names and is_plain_denial(rule)]
    outcomes = {outcome(rule.action, rule.errno_ret) for rule in rules}
    if may(profile, name) or (not outcomes and last is not None and _number(name, context) > last):
        return False
    default = outcome(profile.default_action, profile.default_errno_ret)
    return (outcomes or {default}) != {(ERRNO, ENOSYS)}


def _last_named(profile: Profile, context: Context) -> int:
    return max((_number(one, context) for rule in profile.rules for one in rule.names), default=0)


def _number(name: str, context: Context) -> int:
    return numbers(of_oci(OCI[context.arch])).get(name, 0)


CHECKS: tuple[Check, ...] = (
    unknown_syscalls,
    same_as_default,
    repeated_arguments,
    passed_by_upper_bits,
    flags_refused,
    architectures_refused,
    native_missing,
    unknown_capabilities,
    listener_missing,
    runtime_calls_denied,
    fallback_denied,
)
