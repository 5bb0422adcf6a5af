"""The checks of `runc-wrapctl doctor`: one module for each, entered in CHECKS.

The rooms below hold the checks by subject; what they all share is here.
A check has a NAME and `find(places)`, which returns Findings: none if all is well. It changes
nothing, and every finding says what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runc_wrap.doctor.check_finding import NotMended
from runc_wrap.doctor.engine_checks import (
    canaries_left,
    cri_annotations,
    features_known,
    handlers_in_force,
)
from runc_wrap.doctor.installation_checks import (
    cold_create,
    installation_owner,
    launcher_runs,
    records_written,
)
from runc_wrap.doctor.policy_checks import (
    captured_defaults,
    policy_freshness,
    policy_in_force,
)
from runc_wrap.doctor.runtime_checks import (
    kernel_filtering,
    real_runtime,
    runtime_libseccomp,
)
from runc_wrap.doctor.service_checks import (
    agent_answers,
    agent_sources,
    listeners_held,
    services_run,
)

if TYPE_CHECKING:
    from runc_wrap.doctor.check_finding import Finding
    from runc_wrap.node.paths import Places

CHECKS = (
    policy_in_force,
    policy_freshness,
    captured_defaults,
    real_runtime,
    runtime_libseccomp,
    kernel_filtering,
    launcher_runs,
    cold_create,
    installation_owner,
    records_written,
    services_run,
    agent_answers,
    agent_sources,
    listeners_held,
    handlers_in_force,
    cri_annotations,
    features_known,
    canaries_left,
)


def run(places: Places) -> list[Finding]:
    """Return the findings of all checks, in the order of CHECKS."""
    return [finding for check in CHECKS for finding in check.find(places)]


def names() -> list[str]:
    """Return the names of the checks."""
    return [check.NAME for check in CHECKS]


@dataclass(frozen=True)
class Mended:
    """A finding that was to be mended; `failure` is why it could not, "" if it was."""

    finding: Finding
    failure: str


def mend(places: Places, found: list[Finding]) -> tuple[list[Mended], list[Finding]]:
    """Mend what can be mended, each command once; return that, and what is found afterwards.

    What a fix uncovers is found, and mended by the next `doctor --fix`.
    """
    tried: dict[str, str] = {}
    fixable = [each for each in found if each.fix]
    for each in fixable:
        if each.command not in tried:
            tried[each.command] = _failure(each)
    done = [Mended(each, tried[each.command]) for each in fixable]
    return done, run(places) if done else found


def _failure(finding: Finding) -> str:
    try:
        if finding.fix:
            finding.fix()
    except NotMended as error:
        return str(error)
    except PermissionError as error:
        return f"{error.filename}: {error.strerror}; run this as root"
    except OSError as error:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return ""
