"""What the evidence worker has the keeper store, by name."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LISTENER = "seccomp-"  # and a number from 1
ARRIVING = "arriving-"  # and the number that its listener has: a runtime's connection
INFLIGHT = "inflight"
LINGERING = "lingering"  # the socket of what lingers, at which a new keeper takes over
STOPPED = "the agent was stopped: these calls were let continue unrecorded"
_OURS = ("notify", "lock", LINGERING)


def number_of(name: str, kind: str = LISTENER) -> int:
    """Return the number of a stored listener, or of what else, 0 for what is none."""
    rest = name.removeprefix(kind)
    return int(rest) if rest != name and rest.isascii() and rest.isdecimal() else 0


def needed_to_linger(names: Iterable[str]) -> list[str]:
    """Return which of these let calls continue, and listeners come; [] if there is no listener."""
    held = list(names)
    brought = [name for name in held if number_of(name) or number_of(name, ARRIVING)]
    others = [name for name in held if name in (INFLIGHT, *_OURS)]
    return [*brought, *others] if any(map(number_of, brought)) else []
