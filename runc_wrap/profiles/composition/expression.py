"""The text of a composed profile: "runtime-default + @aio + localhost/extra.json - keyctl"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.profiles import builtin, syscall_names
from runc_wrap.profiles.composition import systemd_sets
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.safe_text import near

if TYPE_CHECKING:
    from runc_wrap.profiles.composition.operations import Part

_SIGN = re.compile(r" +([+-]) +")
_CALL = re.compile(r"[a-z_][a-z0-9_]*")
_MOST = 64  # terms; more belong into a file


class Term(NamedTuple):
    """One addition or removal: `operand` is a call, a group with its @, or a profile's name."""

    sign: str
    operand: str

    def __str__(self) -> str:
        return f"{self.sign} {self.operand}"

    @property
    def calls(self) -> tuple[str, ...] | None:
        """The calls that it names, None if it names a profile. Raises ProfileError."""
        return None if self.operand in builtin.names() else named_calls(self.operand)


def named_calls(word: str) -> tuple[str, ...] | None:
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
            raise ProfileError(
                f"{word!r} is no operand; write calls, @groups and profiles, and a + or - with "
                "blanks around it between them"
            )
    return Composition(base, terms)
