"""A composed profile: its text or file, the profile made of its parts, and which part answers.

As text, "runtime-default + @aio + localhost/extra.json - keyctl". As a file, with conditions:

    {"base": "runtime-default",
     "add": [{"names": ["@aio", "keyctl"], "includes": {"caps": ["CAP_SYS_ADMIN"]}},
             {"names": ["socket"], "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]}],
     "remove": [{"names": ["@mount"], "excludes": {"minKernel": "6.1"}}]}

Entries have the keys of a profile's rules (profile_parser) without action and errno. Additions come
first, then removals. A removal has no args: what stays of a call would depend on what others wrote.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Annotated, NamedTuple

from runc_wrap.documents.constraints import Like
from runc_wrap.documents.reader import closed
from runc_wrap.profiles import builtin, syscall_names
from runc_wrap.profiles.actions import is_default
from runc_wrap.profiles.arguments.narrowed_comparisons import narrowed
from runc_wrap.profiles.composition import operations, systemd_sets
from runc_wrap.profiles.composition.operations import ADD, REMOVE, Part
from runc_wrap.profiles.json_profiles.profile_parser import Conditions, Text
from runc_wrap.profiles.json_profiles.strict_json import decode, taken
from runc_wrap.profiles.runtime_spec_names import ALLOW, PASSING
from runc_wrap.profiles.source_profile import Argument, Profile, ProfileError, Rule
from runc_wrap.safe_text import near

Load = Callable[[str], "Composed"]

_SIGN = re.compile(r" +([+-]) +")
_CALL = re.compile(r"[a-z_][a-z0-9_]*")
_MOST = 64  # terms; more belong into a file


@closed
class _Addition:
    names: tuple[Text, ...] = ()
    args: tuple[Argument, ...] = ()
    comment: Text = ""
    includes: Conditions = Conditions()
    excludes: Conditions = Conditions()

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("names no call; name one or a group")
        for name in self.names:
            if not _named_calls(name):
                raise ValueError(f"{name!a} is neither a call like openat nor a group like @aio")

    @property
    def rule(self) -> Rule:
        calls = dict.fromkeys(call for name in self.names for call in _named_calls(name) or ())
        conditions = self.includes.condition, self.excludes.condition
        return Rule(tuple(calls), ALLOW, None, self.args, *conditions)


@closed
class _File:
    base: Annotated[Text, Like("[^\ud800-\udfff]+", "the name of a profile like runtime-default")]
    add: tuple[_Addition, ...] = ()
    remove: tuple[_Addition, ...] = ()
    comment: Text = ""

    def __post_init__(self) -> None:
        if any(one.args for one in self.remove):
            raise ValueError("a removal is of the whole call; remove it and add what stays")


class Term(NamedTuple):
    """One addition or removal: `operand` is a call, a group with its @, or a profile's name."""

    sign: str
    operand: str

    def __str__(self) -> str:
        return f"{self.sign} {self.operand}"

    @property
    def calls(self) -> tuple[str, ...] | None:
        """The calls that it names, None if it names a profile. Raises ProfileError."""
        return None if self.operand in builtin.names() else _named_calls(self.operand)


class Composition(NamedTuple):
    """A base by its name, and what is added to it and removed, in the order in which it applies."""

    base: str
    changes: tuple[Term | Part, ...]


def is_composed(name: str) -> bool:
    """Tell whether a profile's name is such a text."""
    return _SIGN.search(name) is not None


def parse(text: str) -> Composition:
    """Return the parts of a text; blanks stand on both sides of each sign. Raises ProfileError."""
    base, *rest = _SIGN.split(text.strip())
    terms = tuple(Term(sign, operand) for sign, operand in zip(rest[::2], rest[1::2], strict=True))
    if len(terms) > _MOST:
        raise ProfileError(f"it has {len(terms)} terms, {_MOST} at most; write a file with a base")
    for word in (base, *(term.operand for term in terms)):
        if not word or " " in word:
            raise ProfileError(f"{word!r} is no operand; blanks stand on both sides of + and -")
    return Composition(base, terms)


def _named_calls(word: str) -> tuple[str, ...] | None:
    """Return the calls that a word names, which is a group or a call; None if it is neither.

    Raises ProfileError for a call that libseccomp does not know, if that is installed: a misspelt
    removal would do nothing, without a word.
    """
    if word.startswith(systemd_sets.MARK):
        return systemd_sets.calls(word)
    if not _CALL.fullmatch(word):
        return None
    if syscall_names.known_to_libseccomp([word]) == frozenset():
        named = {one for group in systemd_sets.names() for one in systemd_sets.calls(group)}
        raise ProfileError(f"this libseccomp knows no call {word!r}{near(word, named - {word})}")
    return (word,)


def has_base(data: bytes, source: str) -> bool:
    """Tell whether a profile file is composed. Raises ProfileError if it is not JSON."""
    document = decode(data, source)
    return isinstance(document, dict) and "base" in document


def parse_file(data: bytes, source: str) -> Composition:
    """Return what a file says; `source` names it in errors, and its parts. Raises ProfileError."""
    top = taken(_File, decode(data, source), source)
    parts = [
        Part(f"{source}: {key}[{number}]", sign, one.rule)
        for key, sign, entries in (("add", ADD, top.add), ("remove", REMOVE, top.remove))
        for number, one in enumerate(entries)
    ]
    return Composition(top.base, tuple(parts))


class Composed(NamedTuple):
    """A profile, and if it is composed the name of its base, and the parts in the order applied.

    The base is what is not composed itself; the parts of composed bases come first. `steps` are the
    base's profile and what each part made of it.
    """

    profile: Profile
    base: str
    parts: tuple[Part, ...] = ()
    steps: tuple[Profile, ...] = ()

    def answers(self, call: str, holds: Callable[[Rule], bool]) -> list[str]:
        """Return the parts that decide about a call where rules hold, each as its author wrote it.

        The last addition or removal that is about all its arguments, and later additions; the base
        by its name, if it still has a say, as where it denies what was removed by a rule.
        """

        def of_rules(profile: Profile) -> list[Rule]:
            return [one for one in profile.rules if call in one.names and holds(one)]

        found: list[str] = []
        steps = zip(self.parts, self.steps, self.steps[1:], strict=False)
        for part, before, after in reversed([*steps]):
            if call not in part.calls or not holds(part.rule):
                continue
            if part.sign == REMOVE and (left := of_rules(after)) and left == of_rules(before):
                continue
            found.append(part.text)
            if not part.rule.args:
                return found[::-1]
        return [self.base, *found[::-1]]


def made(name: str, what: Composition, load: Load) -> Composed:
    """Return the profile of a text or a file; it gets this name. Raises ProfileError.

    `load` gives profiles by name, as they are composed.
    """
    base = load(what.base)
    profile = base.profile
    written = (part for one in what.changes for part in _parts(one, load))
    runs = groupby(written, lambda one: one.sign)
    parts = tuple(one for _, run in runs for one in sorted(run, key=_place))
    steps = [*base.steps] or [profile]
    for part in parts:
        where = part.rule.includes, part.rule.excludes
        try:
            if part.sign == ADD:
                profile = operations.added(profile, part.rule)
            else:
                profile = operations.removed(profile, part.rule.names, where)
        except ProfileError as error:
            raise ProfileError(f"{part.text}: {error}") from None
        steps.append(profile)
    if wide := {*narrowed(base.profile).calls}.intersection(narrowed(profile).left):
        raise ProfileError(
            f"{', '.join(sorted(wide))}: with these additions it cannot compare only the bits that "
            "the kernel uses; compare with SCMP_CMP_MASKED_EQ and the mask 0xffffffff"
        )
    made = replace(profile, name=name, version=None)
    root = base.base if base.parts else what.base
    return Composed(made, root, (*base.parts, *parts), tuple(steps))


def _place(part: Part) -> tuple[bool, str]:
    """Return a part's place among those in a row that have its sign: first what is added whole.

    So the order in which additions are written decides neither the text nor a refusal.
    """
    return part.rule.compares, repr(part.rule) if part.sign == ADD else ""


def _parts(term: Term | Part, load: Load) -> Iterator[Part]:
    if isinstance(term, Part):
        yield term
    elif (calls := term.calls) is not None:
        yield Part(str(term), term.sign, Rule(calls, ALLOW))
    elif term.sign == ADD:
        for rule in _allowing(load(term.operand).profile, str(term)):
            yield Part(str(term), ADD, rule)
    else:
        raise ProfileError(f"{term}: a profile can only be added; remove calls or @groups")


def _allowing(profile: Profile, text: str) -> Iterator[Rule]:
    """Yield the rules of a profile whose calls are added. Raises ProfileError."""
    others = [one for one in profile.rules if one.action != ALLOW and not is_default(one, profile)]
    if {profile.default_action, *(one.action for one in others)} & PASSING:
        raise ProfileError(
            f"{text}: that profile lets through or logs more than its rules allow: no addition"
        )
    for rule in profile.rules:
        if rule.action == ALLOW:
            for other in others:  # a part that the same profile denies would be allowed
                common = sorted({*rule.names} & {*other.names})
                if common and rule.meets(other) and not operations.are_apart(rule.args, other.args):
                    raise ProfileError(
                        f"{text}: for {', '.join(common)} that profile has {other.action} beside "
                        f"{ALLOW}, and no profile can say both; add calls or @groups instead"
                    )
            yield rule
