"""runc-wrapctl profile diff: by meaning, never by text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from runc_wrap.apply import profile_operand
from runc_wrap.cli import output
from runc_wrap.filters import profile_difference
from runc_wrap.host import engine_names
from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.profiles import actions, syscall_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runc_wrap.filters.profile_difference import ProfileChange
    from runc_wrap.node.paths import Places

engine_option = click.option(
    "--engine",
    type=click.Choice([*engine_names.KNOWN, UNKNOWN]),
    default=UNKNOWN,
    help="The engine whose runtime-default is meant.",
)


class _Row(NamedTuple):
    """What differs of a call, for those ABIs on which the same does."""

    syscall: str
    capabilities: tuple[str, ...]
    when: str
    first: int
    second: int

    @property
    def kind(self) -> str:
        """What the second does: "denies" or "allows" more, denies "otherwise", or "logs"."""
        first, second = map(actions.denies, (self.first, self.second))
        if first == second:
            return "otherwise" if first else "logs"
        return "allows" if first else "denies"

    def shown(self, abis: list[str]) -> dict[str, Any]:
        """Return it as the document has it."""
        return {
            "syscall": self.syscall,
            "abis": abis,
            "capabilities": [*self.capabilities],
            "arguments": self.when or None,
            "first": actions.describe(self.first),
            "second": actions.describe(self.second),
        }


@click.command()
@click.argument("first")
@click.argument("second")
@engine_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def diff(places: Places, first: str, second: str, engine: str, *, as_json: bool) -> bool:
    """Print what the profile SECOND does differently from FIRST, call by call.

    Each is the name of a profile (runtime-default, containerd@2.1, localhost/<file>, a composed
    one), a file by its path, - for stdin, or container:ID for the filters that a running
    container has. They are compared as this node's runtime would load them: what each call gets;
    flags, such as SECCOMP_FILTER_FLAG_LOG, and the listener's path are not compared.

    Exit status 1: they differ.
    """
    one, other = profile_operand.sides(places, (first, second), engine)
    found = _rows(profile_difference.find(one, other, profile_operand.loader(places)))
    rows = [row.shown(abis) for row, abis in found.items()]
    if as_json:
        output.document({"summary": _summary(found), "differences": rows})
    else:
        if rows:
            output.table(("call", "abi", "when", "first", "second"), map(_cells, rows))
        output.say(_summary(found))
    return bool(found)


def _rows(changes: Iterable[ProfileChange]) -> dict[_Row, list[str]]:
    """Return {row: its ABIs}."""
    found: dict[_Row, list[str]] = {}
    for one in changes:
        call = one.call
        caps = tuple(sorted(one.capabilities))
        row = _Row(call.syscall, caps, one.when, call.expected, call.found)
        found.setdefault(row, []).append(call.abi)
    return found


def _cells(shown: dict[str, Any]) -> tuple[str, ...]:
    names = ", ".join(name.removeprefix("CAP_") for name in shown["capabilities"])
    when = ", ".join(filter(None, (names and f"with {names}", shown["arguments"])))
    return shown["syscall"], ", ".join(shown["abis"]), when, shown["first"], shown["second"]


_SUMMARY = {
    "denies": "denies {} more{}",
    "allows": "allows {} more{}",
    "otherwise": "denies {} with another error or signal",
    "logs": "logs {} otherwise or asks about them",
}


def _summary(found: Iterable[_Row]) -> str:
    said = []
    for kind, text in _SUMMARY.items():
        some = [one for one in found if one.kind == kind]
        under = len({one.syscall for one in some if one.when})
        more = f" ({under} under arguments)" if under else ""
        if some:
            calls = {one.syscall for one in some}
            named = {one for one in calls if not one.startswith("#")}
            said.append(text.format(syscall_names.counted(named, unnamed=named != calls), more))
    return f"The second {', '.join(said)}." if said else "They do the same for every call."
