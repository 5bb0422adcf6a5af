"""runc-wrapctl profile diff: by meaning, never by text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from runc_wrap.apply import profile_operand
from runc_wrap.cli import output
from runc_wrap.filters import profile_difference
from runc_wrap.hotpath.identity import UNKNOWN
from runc_wrap.node import installed_programs, runtime_loader
from runc_wrap.profiles import actions
from runc_wrap.profiles.return_codes import ACTION_MASK, ALLOW, LOG, TRACE, USER_NOTIF
from runc_wrap.safe_text import number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runc_wrap.filters.profile_difference import ProfileChange
    from runc_wrap.node.paths import Places

_UNDENIED = (ALLOW, LOG, TRACE, USER_NOTIF)


class _Row(NamedTuple):
    """What differs of a call, for those ABIs on which the same does."""

    syscall: str
    capabilities: tuple[str, ...]
    when: str
    first: int
    second: int

    @property
    def is_stricter(self) -> bool:
        """Tell whether the second denies more."""
        more = actions.restriction(self.second) < actions.restriction(self.first)
        return more and not self.is_undenied

    @property
    def is_laxer(self) -> bool:
        """Tell whether the second denies less."""
        less = actions.restriction(self.second) > actions.restriction(self.first)
        return less and not self.is_undenied

    @property
    def is_undenied(self) -> bool:
        """Tell whether neither denies by itself: one of them logs, or asks somebody."""
        return all(code & ACTION_MASK in _UNDENIED for code in (self.first, self.second))


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--engine", default=UNKNOWN, help="The engine whose runtime-default is meant.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def diff(places: Places, first: str, second: str, engine: str, *, as_json: bool) -> None:
    """Print what the profile SECOND does differently from FIRST, call by call.

    Each is the name of a profile (runtime-default, containerd@2.1, localhost/<file>, a composed
    one), a file by its path, - for stdin, or container:ID for the filters that a running
    container has. They are compared as this node's runtime would load them.

    Exit status 1: they differ.
    """
    one, other = profile_operand.sides(places, (first, second), engine)
    kind = installed_programs.kind_in_force(places.runtime) or ""
    loader = runtime_loader.of(places.prefix, kind)
    found = _rows(profile_difference.find(one, other, loader))
    if as_json:
        output.document(_document(found))
    else:
        _print(found)
    if found:
        raise SystemExit(output.WRONG)


def _rows(changes: Iterable[ProfileChange]) -> dict[_Row, list[str]]:
    """Return {row: its ABIs}."""
    found: dict[_Row, list[str]] = {}
    for one in changes:
        call = one.call
        caps = tuple(sorted(name.removeprefix("CAP_") for name in one.capabilities))
        row = _Row(call.syscall, caps, one.when, call.expected, call.found)
        found.setdefault(row, []).append(call.abi)
    return found


def _print(found: dict[_Row, list[str]]) -> None:
    rows = [
        (
            row.syscall,
            ", ".join(abis),
            ", ".join(filter(None, (_with(row.capabilities), row.when))),
            actions.describe(row.first),
            actions.describe(row.second),
        )
        for row, abis in found.items()
    ]
    if rows:
        output.table(("call", "abi", "when", "first", "second"), rows)
    output.say(_summary(found))


def _with(capabilities: tuple[str, ...]) -> str:
    return f"with {', '.join(capabilities)}" if capabilities else ""


def _summary(found: Iterable[_Row]) -> str:
    stricter, laxer = _counted(found, "is_stricter"), _counted(found, "is_laxer")
    undenied = {one.syscall for one in found if one.is_undenied}
    others = {
        one.syscall for one in found if not (one.is_stricter or one.is_laxer or one.is_undenied)
    }
    said = [f"denies {stricter}"] * bool(stricter) + [f"allows {laxer}"] * bool(laxer)
    said += [f"has another error for {number(len(others), 'call')}"] * bool(others)
    said += [f"logs {number(len(undenied), 'call')} otherwise or asks about them"] * bool(undenied)
    return f"The second {', '.join(said)}." if said else "They do the same for every call."


def _counted(found: Iterable[_Row], which: str) -> str:
    """Return "3 calls more (1 under arguments)", "" for none."""
    some = [one for one in found if getattr(one, which)]
    names = {one.syscall for one in some}
    under = {one.syscall for one in some if one.when}
    more = f" ({len(under)} under arguments)" if under else ""
    return f"{number(len(names), 'call')} more{more}" if names else ""


def _document(found: dict[_Row, list[str]]) -> dict[str, Any]:
    return {
        "summary": _summary(found),
        "differences": [
            {
                "syscall": row.syscall,
                "abis": abis,
                "capabilities": [f"CAP_{name}" for name in row.capabilities],
                "arguments": row.when or None,
                "first": actions.describe(row.first),
                "second": actions.describe(row.second),
            }
            for row, abis in found.items()
        ],
    }
