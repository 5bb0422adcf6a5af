"""Whether the running agent receives anything from the sources of its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.doctor import remedies
from runc_wrap.doctor.policy_checks import profiles_in_force
from runc_wrap.doctor.remedies import Finding, Severity
from runc_wrap.evidence.sources import source_status
from runc_wrap.ledger.decision_record import LOGGED_MODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "sight"
_REMEDY = (
    "run it as root in the machine's own namespaces: as a unit of systemd, or in a pod with "
    "hostNetwork: true, hostPID: true and privileged: true"
)


def find(places: Places) -> Iterator[Finding]:
    """Find an agent that receives nothing; only root can check that."""
    seen = source_status.read(places.evidence)
    relies = not profiles_in_force.modes(places).isdisjoint(
        (*LOGGED_MODES, profiles_in_force.CANDIDATE)
    )
    for sentence in source_status.sentences(seen).values():
        severity: Severity = "warning" if relies else "note"
        yield Finding(NAME, severity, sentence, _REMEDY, remedies.restart_service("observe"))
