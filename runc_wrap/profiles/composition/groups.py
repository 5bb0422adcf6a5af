"""Named groups of system calls: the sets of systemd's SystemCallFilter=, as one release has them.

The sets have no versions of their own and change with systemd, so they are kept here expanded, with
the release that they are from (`SOURCE`).
"""

import json
from functools import cache
from pathlib import Path

from runc_wrap.profiles.json_profiles.json_fields import suggestion
from runc_wrap.profiles.model import ProfileError

MARK = "@"
_FILE = Path(__file__).with_name("systemd_groups.json")


@cache
def _document() -> tuple[str, dict[str, tuple[str, ...]]]:
    document = json.loads(_FILE.read_text())
    return document["source"], {name: tuple(calls) for name, calls in document["groups"].items()}


def source() -> str:
    """Return where the groups are from, with the release."""
    return _document()[0]


def names() -> list[str]:
    """Return the groups' names, sorted, each with its @."""
    return sorted(f"{MARK}{name}" for name in _document()[1])


def calls(name: str) -> tuple[str, ...]:
    """Return the calls of a group, sorted; `name` begins with @. Raises ProfileError."""
    found = _document()[1].get(name.removeprefix(MARK))
    if found is None:
        raise ProfileError(f"no group is called {name!r}; {suggestion(name, names())}")
    return found
