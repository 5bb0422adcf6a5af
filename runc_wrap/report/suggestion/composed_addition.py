"""A suggestion as a composed profile: its base by name, and what is added to that.

A rule may name one without arguments by itself, "runtime-default + ptrace + keyctl"; the others are
files with a base. What a composition cannot say stays a whole profile: another ABI, a denial that
is narrowed in a profile that allows by default, arguments beside a denial of the same call.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap.hotpath.annotations import LOCALHOST, RUNTIME_DEFAULT
from runc_wrap.policy.named_profiles import ON
from runc_wrap.profiles import builtin
from runc_wrap.profiles.composition import composed_profile
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.report.suggestion import denial_removal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from runc_wrap.report.merged_workload import MergedWorkload
    from runc_wrap.report.suggestion.profile_addition import Suggestion

Json = dict[str, Any]
_LONGEST = 120  # characters of a profile's name in a rule; a longer one is a file


class ComposedAddition(NamedTuple):
    """`file` is for a profile file; `text` is the same as a rule names it, "" if none can."""

    file: Json
    text: str


def of(
    one: MergedWorkload, made: Suggestion, defaults: Collection[str] | None
) -> ComposedAddition | None:
    """Return the composed form, None if there is none.

    `defaults` are the profiles for which `runtime-default` stands here. None: names come from
    nodes, who are believed no more than that they have an engine's default.
    """
    bases = {_base(name, defaults) for name in one.profiles}
    entries = [{key: each[key] for key in each if key != "action"} for each in made.added]
    if len(bases) != 1 or not entries or not one.filter:
        return None
    if not _is_said(one.filter.block, made, entries):
        return None
    if not (base := bases.pop()):
        return None
    names = [name for each in made.added for name in each["names"]]
    text = " + ".join(dict.fromkeys((base, *names)))
    is_plain = not any("args" in each for each in entries) and len(text) <= _LONGEST
    return ComposedAddition({"base": base, "add": entries}, text if is_plain else "")


def _base(name: str, defaults: Collection[str] | None) -> str:
    """Return the name as a policy has it, of one as a container got it."""
    if defaults is None:
        return RUNTIME_DEFAULT if name.partition("@")[0] in builtin.names() else ""
    written = name.rpartition(ON)[0] or name
    if written.startswith(LOCALHOST) or composed_profile.is_composed(written):
        return written
    return RUNTIME_DEFAULT if name in defaults else name


def _is_said(block: Mapping[str, Any], made: Suggestion, entries: list[Json]) -> bool:
    """Tell whether additions alone make the suggestion of the block."""
    is_same = block.get("architectures") == made.profile.get("architectures")
    if denial_removal.is_open(block) or not is_same:
        return False
    document = json.dumps({"base": "block", "add": entries}).encode()
    try:
        base = composed_profile.Composed(
            profile_parser.parse(json.dumps(block).encode(), "block"), "block"
        )
        composed_profile.made("it", composed_profile.parse_file(document, "it"), lambda _: base)
    except ProfileError:
        return False
    return True
