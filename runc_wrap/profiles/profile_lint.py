"""How a runtime, libseccomp or the kernel will interpret a profile that parses.

A check is a function from profile and context to findings, which `check` or `finds` enters in
CHECKS here and in denial_lint. The checks never change or refuse a profile: profile_parser refuses
invalid ones; the operator decides on the rest.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from runc_wrap.hotpath.operators import MASKED_EQ
from runc_wrap.profiles.actions import code, is_default, restriction
from runc_wrap.profiles.engine_versions import Version, reached
from runc_wrap.profiles.profile_compiler import holds
from runc_wrap.profiles.runtime_spec_names import CAPABILITIES, GOARCH, NOTIFY, OCI
from runc_wrap.profiles.source_profile import Kernel, Profile, Rule, alternatives
from runc_wrap.profiles.syscall_names import known_to_libseccomp

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
CHECKS: list[Check] = []


def check(find: Check) -> Check:
    """Enter a check."""
    CHECKS.append(find)
    return find


def finds(
    name: str, severity: Severity, remedy: str
) -> Callable[[Callable[[Profile, Context], Said]], Check]:
    """Enter as a check a function that yields each place, and a sentence on it."""

    def made(find: Callable[[Profile, Context], Said]) -> Check:
        def found(profile: Profile, context: Context) -> Iterator[LintFinding]:
            for place, sentence in find(profile, context):
                yield LintFinding(name, severity, place, sentence, remedy)

        return check(found)

    return made


def rules(profile: Profile) -> Iterable[tuple[str, Rule]]:
    """Return the rules, each with its place."""
    return ((f"syscalls[{index}]", rule) for index, rule in enumerate(profile.rules))


@finds("unknown-syscalls", "note", "install libseccomp2")
def unchecked_syscalls(_: Profile, __: Context) -> Said:
    """Find that the names of calls cannot be checked."""
    if known_to_libseccomp(()) is None:
        yield "syscalls", "libseccomp is not installed, so names of system calls were not checked"


@finds("unknown-syscalls", "warning", "correct the spelling, or keep them for a newer libseccomp")
def unknown_syscalls(profile: Profile, _: Context) -> Said:
    """Find names that libseccomp does not know: runc and crun ignore them."""
    for place, rule in rules(profile):
        known = known_to_libseccomp(rule.names)
        if known is not None and (unknown := [name for name in rule.names if name not in known]):
            names = ", ".join(unknown)
            yield place, f"libseccomp does not know {names}; runtimes ignore such names"


@finds("same-as-default", "note", "remove the rule, or give it another action or error")
def same_as_default(profile: Profile, _: Context) -> Said:
    """Find rules with the same effect as the default action: runc drops them."""
    for place, rule in rules(profile):
        if is_default(rule, profile):
            action = profile.default_action
            yield place, f"has the effect of the default action {action}; runc drops it"


@finds("repeated-arguments", "warning", "write one rule for each intended range")
def repeated_arguments(profile: Profile, _: Context) -> Said:
    """Find rules that compare one argument twice: runc and crun split them into several rules."""
    for place, rule in rules(profile):
        if len(alternatives(rule.args)) > 1:
            yield place, "compares one argument more than once; runtimes join these by OR, not AND"


@check
def comparisons_ignored(profile: Profile, context: Context) -> Iterator[LintFinding]:
    """Find rules on arguments of a call that another rule decides for all arguments.

    libseccomp keeps that one only (src/db.c db_rule_add). An error if it restricts less, for all
    containers that get the first.
    """
    mine = [one for one in rules(profile) if holds(one[1], context.arch, context.kernel)]
    whole: dict[str, list[Rule]] = {}
    for _, rule in mine:
        for name in () if rule.compares or is_default(rule, profile) else rule.names:
            whole.setdefault(name, []).append(rule)
    for place, rule in mine:
        for name in rule.names if rule.compares else ():
            other = _instead_of(rule, whole.get(name, ()))
            if code(other.action, other.errno_ret) != code(rule.action, rule.errno_ret):
                when = _when(rule, other)
                yield LintFinding(
                    "comparisons-ignored",
                    "error" if not when and _laxity(other) > _laxity(rule) else "warning",
                    place,
                    f"has {rule.action} for some arguments of {name}, which never applies{when}: a "
                    f"rule without arguments has {other.action}, and libseccomp keeps only that",
                    f"give the rule with {other.action} the opposite comparison, such as "
                    "SCMP_CMP_NE for SCMP_CMP_EQ, or remove one of them",
                )


def _instead_of(rule: Rule, others: Iterable[Rule]) -> Rule:
    """Return the laxest of the others, if possible of those in force whenever the rule is."""
    found = [one for one in others if rule.meets(one)]
    always = [one for one in found if not _when(rule, one) and _laxity(one) > _laxity(rule)]
    return max(always or found, key=_laxity, default=rule)


def _when(rule: Rule, other: Rule) -> str:
    """Return which containers with a rule have the other too, "" for all."""
    held = {*other.includes.caps} - {*rule.includes.caps}
    lacking = {*other.excludes.caps} - {*rule.excludes.caps}
    said = [
        f"{word} {', '.join(sorted(caps))}"
        for word, caps in (("with", held), ("without", lacking))
        if caps
    ]
    return f" in containers {' and '.join(said)}" if said else ""


def _laxity(rule: Rule) -> int:
    return restriction(code(rule.action, rule.errno_ret))


@finds("mask-misses-value", "warning", "clear those bits of valueTwo, or set them in the mask")
def bits_outside_masks(profile: Profile, _: Context) -> Said:
    """Find bits of valueTwo that the mask lacks: libseccomp clears them."""
    for place, rule in rules(profile):
        if any(one.op == MASKED_EQ and one.value_two & ~one.value for one in rule.args):
            yield place, "has bits in valueTwo that its mask lacks; libseccomp ignores them"


@finds("flags-refused", "error", "remove flags, or install runc 1.2")
def flags_refused(profile: Profile, context: Context) -> Said:
    """Find flags if runc is older than 1.2, which refuses any."""
    if profile.flags and context.runc is not None and not reached(context.runc, "1.2.0"):
        yield "flags", f"runc {context.runc} refuses every profile with flags"


_ARCHITECTURE_SINCE = {"SCMP_ARCH_RISCV64": "1.1.15 1.2.0", "SCMP_ARCH_LOONGARCH64": "1.5.0"}


@check
def architectures_refused(profile: Profile, context: Context) -> Iterator[LintFinding]:
    """Find architectures that the runc in use does not know: it refuses their names.

    This is a warning if a later runc knows the name: distributions backport that to older ones
    (Debian's 1.1.15 accepts LOONGARCH64).
    """
    for name in profile.abis(context.arch):
        since, runc = _ARCHITECTURE_SINCE.get(name), context.runc
        # it never knew those without a Go port
        if runc and (name not in GOARCH or (since and not reached(runc, since))):
            yield LintFinding(
                "architectures-refused",
                "warning" if since else "error",
                "architectures",
                f"upstream's runc {context.runc} refuses profiles that name {name}",
                "remove it" + (f", or install runc {since.split()[-1]}" if since else ""),
            )


@finds("native-missing", "warning", "add it")
def native_missing(profile: Profile, context: Context) -> Said:
    """Find a list of architectures without the machine's own."""
    own, listed = OCI[context.arch], profile.abis(context.arch)
    if listed and own not in listed:
        what = f"does not list {own}, which this machine's programs use; runtimes add it"
        yield "architectures", what


@finds("unknown-capabilities", "warning", "correct the spelling")
def unknown_capabilities(profile: Profile, _: Context) -> Said:
    """Find conditions on capabilities that no Linux release known here has."""
    for place, rule in rules(profile):
        asked = {*rule.includes.caps, *rule.excludes.caps}
        if unknown := sorted(asked - CAPABILITIES):
            yield place, f"depends on {', '.join(unknown)}, which no container can have"


@check
def listener_missing(profile: Profile, context: Context) -> Iterator[LintFinding]:
    """Find SCMP_ACT_NOTIFY without a listener: runc refuses it, crun needs an annotation."""
    severity: Severity = "warning" if context.runc is None else "error"
    what = (
        "sends notifications, but there is no listenerPath; runc refuses that, and under crun the "
        "calls fail with ENOSYS"
    )
    for place, rule in rules(profile):
        if rule.action == NOTIFY and profile.listener_path is None:
            remedy = "set listenerPath to the agent's socket"
            yield LintFinding("listener-missing", severity, place, what, remedy)
