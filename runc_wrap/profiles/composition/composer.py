"""Makes a composed profile of its parts, and says which part answers for a call."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.profiles.actions import is_default
from runc_wrap.profiles.composition import operations
from runc_wrap.profiles.composition.operations import ADD, Part
from runc_wrap.profiles.runtime_spec_names import ALLOW
from runc_wrap.profiles.source_profile import ANYWHERE, Profile, ProfileError, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runc_wrap.profiles.composition.expression import Composition, Term

    Load = Callable[[str], "Composed"]

_EVERYWHERE = (ANYWHERE, ANYWHERE)


class Composed(NamedTuple):
    """A profile, and if it is composed the name of its base, and the parts in the order applied.

    The base is what is not composed itself; the parts of composed bases come first.
    """

    profile: Profile
    base: str
    parts: tuple[Part, ...] = ()

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


def made(name: str, what: Composition, load: Load) -> Composed:
    """Return the profile of a text or a file; it gets this name. Raises ProfileError.

    `load` gives profiles by name, as they are composed.
    """
    base = load(what.base)
    profile = base.profile
    parts = tuple(part for one in what.changes for part in _parts(one, load))
    for part in parts:
        try:
            profile = _applied(profile, part)
        except ProfileError as error:
            raise ProfileError(f"{part.text}: {error}") from None
    made = replace(profile, name=name, version=None)
    return Composed(made, base.base if base.parts else what.base, (*base.parts, *parts))


def _applied(profile: Profile, part: Part) -> Profile:
    if part.sign == ADD:
        return operations.added(profile, part.rule)
    return operations.removed(profile, part.rule.names, (part.rule.includes, part.rule.excludes))


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
    if {profile.default_action, *(one.action for one in others)} & operations.PASSING:
        raise ProfileError(
            f"{text}: that profile lets through or logs what it does not allow by a rule, which is "
            "no addition"
        )
    for rule in profile.rules:
        if rule.action == ALLOW:
            for other in others:
                _check_apart(rule, other, text)
            yield rule


def _check_apart(rule: Rule, other: Rule, text: str) -> None:
    """Refuse to add a rule of which the same profile denies a part: it would be allowed."""
    common = sorted({*rule.names} & {*other.names})
    if common and rule.meets(other) and not operations.are_apart(rule.args, other.args):
        raise ProfileError(
            f"{text}: for {', '.join(common)} that profile has {other.action} beside {ALLOW}, and "
            "no profile can say both; add calls or @groups instead"
        )


def _always(rule: Rule) -> bool:
    return not rule.args and (rule.includes, rule.excludes) == _EVERYWHERE
