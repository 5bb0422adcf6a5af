"""Which modes the policy in force can give a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.errors import Refusal

if TYPE_CHECKING:
    from runc_wrap.node.paths import Places


CANDIDATE = "candidate"


def used(places: Places) -> set[str]:
    """Return the modes, and CANDIDATE if it has one; an empty set without a policy."""
    try:
        policy = policy_file.load(str(places.prefix))
    except Refusal:
        return set()
    rules = {rule["mode"] for rule in policy["rules"] if "mode" in rule}
    beside = [CANDIDATE] if policy.get("candidates") else []
    return {policy["default"]["mode"], policy["privileged"], *rules, *beside}
