"""The checks of `runc-wrapctl doctor`, by name; the modules beside hold them by subject.

A check is a function of the places that yields Findings: none if all is well. It changes nothing,
and every finding says what to do.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from runc_wrap.doctor import (
    engine_checks,
    installation_checks,
    policy_checks,
    runtime_checks,
    service_checks,
)
from runc_wrap.doctor.remedies import Finding
from runc_wrap.node.paths import Places

CHECKS: dict[str, Callable[[Places], Iterator[Finding]]] = {
    "in-force": policy_checks.in_force,
    "sources": policy_checks.sources,
    "captured": policy_checks.captured,
    "runtime": runtime_checks.runtime,
    "libseccomp": runtime_checks.libseccomp,
    "kernel": runtime_checks.kernel,
    "launcher": installation_checks.launcher,
    "cold-create": installation_checks.cold_create,
    "ownership": installation_checks.owner,
    "records": installation_checks.records,
    "services": service_checks.services,
    "agent": service_checks.agent,
    "sight": service_checks.sight,
    "listeners": service_checks.listeners,
    "handlers": engine_checks.handlers,
    "passed-on": engine_checks.passed_on,
    "features": engine_checks.features,
    "canaries": engine_checks.canaries,
}


def run(places: Places) -> list[Finding]:
    """Return the findings of all checks, in the order of CHECKS."""
    return [replace(one, check=name) for name, check in CHECKS.items() for one in check(places)]
