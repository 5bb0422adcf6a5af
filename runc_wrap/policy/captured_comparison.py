"""Compares an engine's captured default with the profile that the table has for its version."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.policy import named_profiles, runtime_default
from runc_wrap.policy.settings import schema
from runc_wrap.profiles import captured_profile
from runc_wrap.profiles.runtime_spec_names import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.policy.compiler_facts import Facts
    from runc_wrap.profiles.captured_profile import CapturedProfile
    from runc_wrap.profiles.source_profile import Profile

Caps = frozenset[str]


class TableDifference(NamedTuple):
    """A rule that only one of the two has: `only` is "captured" or "table".

    `capability` is "" if containers without any capability have it, else the one with which it
    appears, or "ALL".
    """

    only: str
    capability: str
    rule: str


def table_name(engine: str, facts: Facts) -> str:
    """Return the profile that `runtime-default` is for this engine without a capture.

    Raises PolicyError.
    """
    return runtime_default.by_engine(schema.defaults(), facts)[0][engine]


def with_table(captured: CapturedProfile, facts: Facts) -> list[TableDifference]:
    """Return every difference, those of containers without capabilities first.

    Raises PolicyError and ProfileError.
    """
    name = table_name(captured.engine, facts)
    table = named_profiles.loaded(name, {}, facts.system_profile).profile
    return list(_differences(captured.parsed(), table, facts))


def _differences(captured: Profile, table: Profile, facts: Facts) -> Iterator[TableDifference]:
    """Yield what differs for no capability, for each one, and for all; each rule once."""
    seen: set[captured_profile.BlockDifference] = set()
    singles = [(name, frozenset([name])) for name in sorted(CAPABILITIES)]
    for label, caps in [("", Caps()), *singles, ("ALL", CAPABILITIES)]:
        first, second = (
            captured_profile.resolved(each, caps, facts.arch, facts.kernel)
            for each in (captured, table)
        )
        for found in captured_profile.differences(first, second):
            if found not in seen:
                seen.add(found)
                only = schema.TABLE if found.of else schema.CAPTURED
                yield TableDifference(only, label, found.what)
