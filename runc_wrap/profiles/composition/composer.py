"""Makes a composed profile of its parts, and says which part answers for a call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.profiles.composition import expression, operations
from runc_wrap.profiles.composition.expression import ADD
from runc_wrap.profiles.source_profile import ANYWHERE, Profile, ProfileError, Rule
from runc_wrap.profiles.vocabulary import ALLOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runc_wrap.profiles.composition.composed_file import ComposedFile
    from runc_wrap.profiles.composition.expression import Term

    Load = Callable[[str], Profile]

_EVERYWHERE = (ANYWHERE, ANYWHERE)


class Part(NamedTuple):
    """One part as applied: `text` as its author wrote it; the calls and conditions it is about."""

    text: str
    sign: str
    rule: Rule

    @property
    def calls(self) -> frozenset[str]:
        """The calls about which it decides."""
        names = frozenset(self.rule.names)
        return names if self.sign == ADD else operations.reaching(names)


class Composed(NamedTuple):
    """A composed profile, the name of its base, and the parts in the order applied."""

    profile: Profile
    base: str
    parts: tuple[Part, ...]

    def answers(self, call: str) -> list[str]:
        """Return the parts that decide about a call: the last that always applies, and later ones.

        Each as its author wrote it; the base by its name, if it still has a say.
        """
        found: list[str] = []
        for part in reversed(self.parts):
            if call in part.calls:
                found.append(part.text)
                if _always(part.rule):
                    return found[::-1]
        return [self.base, *found[::-1]]


def of_text(text: str, load: Load) -> Composed:
    """Return what an expression makes; `load` gives profiles by name. Raises ProfileError."""
    parsed = expression.parse(text)
    parts = [part for term in parsed.terms for part in _of_term(term, load)]
    return _composed(text, parsed.base, tuple(parts), load)


def of_file(name: str, parsed: ComposedFile, load: Load) -> Composed:
    """Return what a file with a base makes; `name` is its own. Raises ProfileError."""
    parts = tuple(Part(f"{name}: {each.place}", each.sign, each.rule) for each in parsed.changes)
    return _composed(name, parsed.base, parts, load)


def _composed(name: str, base: str, parts: tuple[Part, ...], load: Load) -> Composed:
    profile = load(base)
    for part in parts:
        try:
            profile = _applied(profile, part)
        except ProfileError as error:
            raise ProfileError(f"{part.text}: {error}") from None
    return Composed(replace(profile, name=name, version=None), base, parts)


def _applied(profile: Profile, part: Part) -> Profile:
    if part.sign == ADD:
        return operations.added(profile, part.rule)
    return operations.removed(profile, part.rule.names, (part.rule.includes, part.rule.excludes))


def _of_term(term: Term, load: Load) -> Iterator[Part]:
    calls = term.calls
    if calls is not None:
        yield Part(str(term), term.sign, Rule(calls, ALLOW))
        return
    if term.sign != ADD:
        raise ProfileError(f"{term}: a profile can only be added; remove calls or @groups")
    yield from (Part(str(term), ADD, rule) for rule in _allowing(load(term.operand), str(term)))


def _allowing(profile: Profile, text: str) -> Iterator[Rule]:
    """Yield the rules of a profile whose calls are added. Raises ProfileError."""
    if profile.default_action == ALLOW:
        raise ProfileError(
            f"{text}: that profile allows what it does not name, which is no addition"
        )
    yield from (rule for rule in profile.rules if rule.action == ALLOW)


def _always(rule: Rule) -> bool:
    return not rule.args and (rule.includes, rule.excludes) == _EVERYWHERE
