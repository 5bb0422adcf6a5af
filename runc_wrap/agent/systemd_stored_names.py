"""Names of the descriptors that the keeper stores for the evidence worker."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LISTENER = "seccomp-"  # followed by a number from 1
ARRIVING = "arriving-"  # followed by its listener's number: a runtime's connection
INFLIGHT = "inflight"
LINGERING = "lingering"  # the draining process' socket, at which a new keeper takes over
STOPPED = "the agent was stopped: these calls were let continue unrecorded"
_OURS = ("notify", "lock", LINGERING)


def number_of(name: str, kind: str = LISTENER) -> int:
    """Return the number in a stored listener's name, or another kind's; 0 if it has none."""
    rest = name.removeprefix(kind)
    return int(rest) if rest != name and rest.isascii() and rest.isdecimal() else 0


def needed_to_linger(names: Iterable[str]) -> list[str]:
    """Return the names that a draining agent needs to continue calls; [] without a listener."""
    held = list(names)
    brought = [name for name in held if number_of(name) or number_of(name, ARRIVING)]
    others = [name for name in held if name in (INFLIGHT, *_OURS)]
    return [*brought, *others] if any(map(number_of, brought)) else []
