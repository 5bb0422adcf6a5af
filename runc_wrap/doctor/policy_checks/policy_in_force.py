"""Whether there is a complete compiled policy that this release can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.apply import apply_policy
from runc_wrap.doctor import remedies
from runc_wrap.doctor.policy_checks import profiles_in_force
from runc_wrap.doctor.remedies import Finding, NotMended
from runc_wrap.failure import Failure
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runc_wrap.node.paths import Places


NAME = "in-force"
_REMEDY = "run runc-wrapctl apply"


def find(places: Places) -> Iterator[Finding]:
    """Find a policy that creates cannot read, and profiles that it names but that are missing."""
    prefix = str(places.prefix)
    try:
        policy = policy_file.load(prefix)
    except Refusal as refusal:
        yield _unreadable(places, refusal)
        return
    for name, mode in sorted(profiles_in_force.decided(policy)):
        try:
            policy_file.load_profile(policy, name, mode)
        except Refusal as refusal:
            yield _unreadable(places, refusal)


def _unreadable(places: Places, refusal: Refusal) -> Finding:
    sentence = str(refusal).removesuffix(policy_file.AGAIN).rstrip()  # the remedy says it
    command = remedies.ctl(places, "apply")
    return Finding(NAME, "error", sentence, _REMEDY, command, fix(places))


def fix(places: Places) -> Callable[[], None]:
    """Return what puts the policy's sources in force."""

    def act() -> None:
        try:
            apply_policy.put_in_force(places)
        except Failure as error:
            raise NotMended(str(error)) from error

    return act
