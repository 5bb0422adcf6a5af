"""The checks of `runc-wrapctl doctor`: one module for each, entered in CHECKS.

The rooms below hold the checks by subject.
A check has a NAME and `find(places)`, which returns Findings: none if all is well. It changes
nothing, and every finding says what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from runc_wrap.doctor.remedies import Finding
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
