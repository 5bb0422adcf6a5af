"""Linting the profiles of a compiled policy. Uses libseccomp, so that compiling need not."""

from collections.abc import Iterator, Mapping
from typing import Any

from runc_wrap.policy import policy_compiler
from runc_wrap.policy.compiler_facts import Facts, PolicyError
from runc_wrap.policy.named_profiles import ON, is_owners
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.policy.runtime_default import SYSTEM
from runc_wrap.profiles import denial_lint, engine_versions, profile_lint
from runc_wrap.profiles.arguments.narrowed_comparisons import KERNEL
from runc_wrap.profiles.profile_lint import Context, LintFinding
from runc_wrap.profiles.source_profile import Profile

_AS_WRITTEN = "compared-as-written"


def check(compiled: Compiled, values: Mapping[str, Any], facts: Facts) -> list[str]:
    """Return warnings and notes on the owner's profiles. Raises PolicyError for errors.

    An error in any profile refuses the policy. Warnings and notes on an engine's own profiles are
    left out, since this node's owner cannot fix those, but for what could not be put in force as
    the settings say, and so are they where the owner's profile is composed on one.
    """
    found = [
        (name, one)
        for name, profile in compiled.sources.items()
        for one in findings(profile, values, facts)
    ]
    known = {_same(name, finding) for name, finding in found}
    errors = [_line(name, finding) for name, finding in found if finding.severity == "error"]
    if errors:
        raise PolicyError("\n".join(errors))
    default = compiled.policy["default"]["profile"]
    return [
        f"{finding.severity}: {_line(name, finding)}"
        for name, finding in found
        if (is_owners(name) or name == SYSTEM == default or finding.check == _AS_WRITTEN)
        and not (ON in name and _same(name.rpartition(ON)[2], finding) in known)
    ]


def findings(profile: Profile, values: Mapping[str, Any], facts: Facts) -> Iterator[LintFinding]:
    """Yield what lint finds of a profile with the policy's ABIs, and what is unsupported here.

    Where arguments are put in force as the kernel reads them, only calls of which they cannot be.
    """
    text = policy_compiler.with_abis(profile, values, facts)
    context = Context(facts.arch, facts.kernel, _runc(facts))
    found = (one for check in profile_lint.CHECKS for one in check(text, context))
    left_out = denial_lint.UPPER_BITS if values["default.int_arguments"] == KERNEL else ""
    for one in (*found, *_unsupported(text, facts)):
        if one.check != left_out:
            yield one
    if wide := policy_compiler.compared(profile, values).left:
        sentence = (
            f"{', '.join(wide)}: compared as written, including the upper bits of the register, "
            "since the rules contradict each other, name numbers that the argument cannot have, or "
            "would be too many"
        )
        remedy = "write them with SCMP_CMP_MASKED_EQ"
        yield LintFinding(_AS_WRITTEN, "warning", "syscalls", sentence, remedy)


def _unsupported(profile: Profile, facts: Facts) -> Iterator[LintFinding]:
    """Yield what a profile uses that the installed runtime or this kernel does not support."""
    where = f"{facts.runtime_kind} {facts.runtime_version} or this kernel does not support"
    used = {profile.default_action, *(one.action for one in profile.rules)}
    for action in sorted(used - facts.actions):
        remedy = "use SCMP_ACT_ERRNO"
        yield LintFinding("unsupported", "error", "syscalls", f"{where} {action}", remedy)
    for flag in profile.flags or ():
        if facts.flags and flag not in facts.flags:
            yield LintFinding("unsupported", "error", "flags", f"{where} {flag}", "remove it")


def _runc(facts: Facts) -> engine_versions.Version | None:
    """Return the version of runc, None for another runtime or an unreadable version."""
    return engine_versions.parsed(facts.runtime_version) if facts.runtime_kind == "runc" else None


def _same(name: str, finding: LintFinding) -> tuple[str, str, str]:
    return name, finding.check, finding.sentence


def _line(name: str, finding: LintFinding) -> str:
    return f"profile {name}: {finding.place}: {finding.sentence}; {finding.remedy}."
