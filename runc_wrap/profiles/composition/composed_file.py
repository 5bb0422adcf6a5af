"""A profile file with a base: {"base": NAME, "add": [...], "remove": [...]}.

    {"base": "runtime-default",
     "add": [{"names": ["@aio", "keyctl"], "includes": {"caps": ["CAP_SYS_ADMIN"]}},
             {"names": ["socket"], "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]}],
     "remove": [{"names": ["@mount"], "excludes": {"minKernel": "6.1"}}]}

Entries have the keys of a profile's rules (profile_parser) without action and errno. Additions come
first, then removals. A removal has no args: what stays of a call would depend on what others wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.profiles.composition.expression import Composition, named_calls
from runc_wrap.profiles.composition.operations import ADD, REMOVE, Part
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.json_profiles.json_fields import Fields, decode
from runc_wrap.profiles.runtime_spec_names import ALLOW
from runc_wrap.profiles.source_profile import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOP = frozenset({"base", "add", "remove", "comment"})
_ENTRY = frozenset({"names", "args", "comment", "includes", "excludes"})


def has_base(data: bytes, source: str) -> bool:
    """Tell whether a profile file is composed. Raises ProfileError if it is not JSON."""
    document = decode(data, source)
    return isinstance(document, dict) and "base" in document


def parse(data: bytes, source: str) -> Composition:
    """Return what a file says; `source` names it in errors, and its parts. Raises ProfileError."""
    top = Fields(decode(data, source), source, "", _TOP)
    top.text("comment")
    base = top.text("base") or top.fail("base", "missing; name a profile like runtime-default")
    changes = [*_changes(top, "add", ADD, source), *_changes(top, "remove", REMOVE, source)]
    return Composition(base, tuple(changes))


def _changes(top: Fields, key: str, sign: str, source: str) -> Iterator[Part]:
    for number, fields in enumerate(top.objects(key, _ENTRY)):
        fields.text("comment")
        args = tuple(profile_parser.arguments(fields))
        if args and sign == REMOVE:
            fields.fail("args", "a removal is of the whole call; remove it and add what stays")
        includes, excludes = profile_parser.conditions(fields)
        rule = Rule(_names(fields), ALLOW, None, args, includes, excludes)
        yield Part(f"{source}: {key}[{number}]", sign, rule)


def _names(fields: Fields) -> tuple[str, ...]:
    written = fields.words("names") or fields.fail("names", "names no call; name one or a group")
    found: dict[str, None] = {}
    for name in written:
        calls = named_calls(name)
        if calls is None:
            fields.fail("names", f"{name!r} is neither a call like openat nor a group like @aio")
        found |= dict.fromkeys(calls)
    return tuple(found)
