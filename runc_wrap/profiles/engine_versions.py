"""Versions of engines, and the ranges in which a fact about a default profile holds.

A change is written as the first releases that have it, one for each release series that got it
("1.7.32 2.0.9 2.2.4"). A release has it if it is at or above the release listed for its own series
(major.minor); a series that is not listed has it if it is newer than every one listed: in this
example 2.2.4 and 2.3.0 have it, and no 2.1 does.
"""

import re
from typing import NamedTuple

from runc_wrap.profiles.source_profile import ProfileError

_VERSION = re.compile(r"(?:\d+:)?v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:[-+~].*)?")


class Version(NamedTuple):
    """A release. A pre-release counts as its final release."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def parse(text: str, releases: "tuple[Version, ...]" = ()) -> Version:
    """Read a version as people, engines and Debian write it: v2.1.0, 1.7.24~ds1, 5:26.1.5-1.

    Missing parts come from the newest of `releases` that matches; otherwise they are 0.
    Raises ProfileError.
    """
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise ProfileError(f"{text!r} is not a version; write it like 1.7.24")
    given = tuple(int(part) for part in match.groups() if part is not None)
    fitting = [release for release in releases if release[: len(given)] == given]
    if fitting:
        return max(fitting)
    return Version(*given, *(0,) * (3 - len(given)))


def parsed(text: str | None) -> Version | None:
    """Return what `parse` does, None for nothing or for what is not a version."""
    try:
        return parse(text or "")
    except ProfileError:
        return None


def listed(text: str) -> tuple[Version, ...]:
    """Return the versions in a space-separated list."""
    return tuple(parse(word) for word in text.split())


def reached(version: Version, first: str) -> bool:
    """Tell whether a release has a change; `first` lists the first releases with it."""
    carriers = listed(first)
    own = [carrier for carrier in carriers if carrier[:2] == version[:2]]
    return version >= own[0] if own else version > max(carriers)


def within(version: Version, since: str, until: str) -> bool:
    """Tell whether a release is in a range; an empty bound is no limit."""
    return (not since or reached(version, since)) and not (until and reached(version, until))
