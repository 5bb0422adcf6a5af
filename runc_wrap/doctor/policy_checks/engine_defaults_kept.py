"""Whether containers keep their engine's default profile, which the policy then never reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.doctor import commands
from runc_wrap.doctor.check_finding import Finding
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.ledger import whole_ledger
from runc_wrap.node.container_state import stated_defaults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "engine-default"


def find(places: Places) -> Iterator[Finding]:
    """Find the existing containers that keep it, unless the policy takes such profiles over."""
    try:
        policy = policy_file.load(str(places.prefix))
        records = whole_ledger.read(places.ledger).records.values()
    except (Refusal, OSError):  # policy_in_force and records_written report it
        return
    if "adoption" in policy:
        return
    found = stated_defaults.counted(records, stated_defaults.recognizer(places))
    if found:
        yield Finding(
            NAME,
            "note",
            stated_defaults.sentence(found, policy),
            "add that to [default] or to a rule; `runc-wrapctl policy reference` says what it does",
            commands.policy(places),
        )
