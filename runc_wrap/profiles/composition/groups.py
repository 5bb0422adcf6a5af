"""Named groups of system calls: systemd's sets, each with the calls of the sets that it names."""

from functools import cache

from runc_wrap.profiles.composition.systemd_sets import SETS, SOURCE
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.safe_text import near

__all__ = ["MARK", "SOURCE", "calls", "names"]

MARK = "@"


def names() -> list[str]:
    """Return the groups' names, sorted, each with its @."""
    return sorted(f"{MARK}{name}" for name in SETS)


@cache
def calls(name: str) -> tuple[str, ...]:
    """Return the calls of a group, sorted; `name` begins with @. Raises ProfileError."""
    listed = SETS.get(name.removeprefix(MARK))
    if listed is None:
        raise ProfileError(f"no group is called {name!r}{near(name, names())}")
    found = [calls(one) if one.startswith(MARK) else (one,) for one in listed.split()]
    return tuple(sorted({call for each in found for call in each}))
