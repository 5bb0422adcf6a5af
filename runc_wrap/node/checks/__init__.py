"""What `runc-wrapctl doctor` looks at: one module a check, entered in CHECKS.

A check has a NAME, the word that it goes by, and `find(places)`, which returns Findings: none where
all is well. It changes nothing, and says of everything it finds what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.node.checks import (
    agent,
    in_force,
    kernel,
    launcher,
    listeners,
    ownership,
    passed_on,
    runtime,
    sight,
    sources,
)

if TYPE_CHECKING:
    from runc_wrap.node.checks.finding import Finding
    from runc_wrap.node.places import Places

CHECKS = (
    in_force,
    sources,
    runtime,
    kernel,
    launcher,
    ownership,
    agent,
    sight,
    listeners,
    passed_on,
)


def run(places: Places) -> list[Finding]:
    """Return what all checks find, in the order of CHECKS."""
    return [finding for check in CHECKS for finding in check.find(places)]


def names() -> list[str]:
    """Return what the checks are called."""
    return [check.NAME for check in CHECKS]
