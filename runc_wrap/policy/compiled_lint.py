"""Linting the profiles of a compiled policy. Asks libseccomp, which is why compiling does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.hotpath.decision import LOCALHOST
from runc_wrap.policy.compiler import SYSTEM
from runc_wrap.policy.source import PolicyError
from runc_wrap.profiles import lint, versions
from runc_wrap.profiles.finding import Context, Finding
from runc_wrap.profiles.model import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.policy.compiler import Compiled, Facts


def check(compiled: Compiled, facts: Facts) -> list[str]:
    """Return what the owner should know of his profiles. Raises PolicyError for what is wrong.

    An error in any profile refuses the policy; warnings and notes of what an engine's authors
    wrote are not for this node's owner to mend.
    """
    found = list(_findings(compiled, facts))
    errors = [_told(name, finding) for name, finding in found if finding.severity == "error"]
    errors += [line for name in compiled.sources for line in _beyond(name, compiled, facts)]
    if errors:
        raise PolicyError("\n".join(errors))
    default = compiled.policy["default"]["profile"]
    return [
        f"{finding.severity}: {_told(name, finding)}"
        for name, finding in found
        if _is_own(name, default)
    ]


def _beyond(name: str, compiled: Compiled, facts: Facts) -> Iterator[str]:
    """Yield what a profile uses and the installed runtime or this kernel does not have."""
    profile = compiled.sources[name]
    where = f"{facts.runtime_kind} {facts.runtime_version} or this kernel"
    used = {profile.default_action, *(rule.action for rule in profile.rules)}
    for action in sorted(used - facts.actions):
        yield f"profile {name}: uses {action}, which {where} does not have; use SCMP_ACT_ERRNO."
    for flag in profile.flags or ():
        if facts.flags and flag not in facts.flags:
            yield f"profile {name}: flags: {where} does not take {flag}; remove it."


def _findings(compiled: Compiled, facts: Facts) -> Iterator[tuple[str, Finding]]:
    context = Context(facts.arch, _runc(facts))
    for name, profile in compiled.sources.items():
        for finding in lint.check(profile, context):
            if finding.check != lint.UPPER_BITS or not compiled.as_kernel:
                yield name, finding


def _runc(facts: Facts) -> versions.Version | None:
    """Return the version of runc, None for another runtime or one with a strange version."""
    try:
        return versions.parse(facts.runtime_version) if facts.runtime_kind == "runc" else None
    except ProfileError:
        return None


def _is_own(name: str, default: str) -> bool:
    return name.startswith(LOCALHOST) or name == SYSTEM == default


def _told(name: str, finding: Finding) -> str:
    return f"profile {name}: {finding.place}: {finding.sentence}; {finding.remedy}."
