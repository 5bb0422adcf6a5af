"""The kinds of values of settings: each checks a value, and describes in words what is valid."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.host import engine_names
from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.hotpath.policy_rule_match import matches

if TYPE_CHECKING:
    from collections.abc import Callable


def is_word(value: object) -> bool:
    """Tell whether a value is a non-empty string of printable characters."""
    return isinstance(value, str) and bool(value) and value.isprintable()


def _fits(_: object) -> str | None:
    return None


@dataclass(frozen=True)
class Kind:
    """A kind of value: `takes` in words; `problem` returns what else is wrong if `fits` holds."""

    takes: str
    fits: Callable[[object], bool] = is_word
    problem: Callable[[object], str | None] = field(default=_fits)


def choice(*words: str) -> Kind:
    """Return a kind that takes one of these words."""

    def problem(value: object) -> str | None:
        if value in words:
            return None
        return f"it takes {takes}{safe_text.near(value, words)}"

    shown = [f'"{word}"' for word in words] if "," in "".join(words) else words
    takes = f"{', '.join(shown[:-1])} or {shown[-1]}"
    return Kind(takes, is_word, problem)


FLAG = Kind("true or false", lambda value: isinstance(value, bool))
WORDS = Kind(
    "a list of names or absolute paths",
    lambda value: isinstance(value, list) and bool(value) and all(map(is_word, value)),
)
PERCENT = Kind(
    "a whole number from 0 to 100",
    lambda value: _is_integer(value) and 0 <= value <= 100,  # type: ignore[operator]  # noqa: PLR2004
)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def word(takes: str) -> Kind:
    """Return a kind that takes any word."""
    return Kind(takes)


def _is_time(value: object) -> bool:
    return isinstance(value, dt.date)  # the base class of datetime, too


def _time_problem(value: object) -> str | None:
    if isinstance(value, dt.date) and value.year >= dt.MAXYEAR:
        return "the last year has no end; leave until out for a rule without end"
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return "a time needs its offset from UTC: write 2027-01-31T18:00:00Z, or only the day"
    return None


UNTIL = Kind(
    "a day (2027-01-31) or a time with its offset (2027-01-31T18:00:00Z)", _is_time, _time_problem
)

_CALL = re.compile(r"[a-z_][a-z0-9_]*")


def _list_of(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _duplicate(value: object) -> str | None:
    found = value if isinstance(value, list) else []
    again = next((item for item in found if found.count(item) > 1), None)
    return None if again is None else f"{again!r:.80} is listed twice; remove one"


CALLS = Kind(
    'a list of system calls (["io_uring_setup"])',
    _list_of(lambda item: isinstance(item, str) and bool(_CALL.fullmatch(item))),
    _duplicate,
)

# linux:include/linux/socket.h, to AF_MAX
FAMILIES = {
    f"AF_{name}": number
    for number, name in enumerate(
        "UNSPEC UNIX INET AX25 IPX APPLETALK NETROM BRIDGE ATMPVC X25 INET6 ROSE DECnet NETBEUI "
        "SECURITY KEY NETLINK PACKET ASH ECONET ATMSVC RDS SNA IRDA PPPOX WANPIPE LLC IB MPLS CAN "
        "TIPC BLUETOOTH IUCV RXRPC ISDN PHONET IEEE802154 CAIF ALG NFC VSOCK KCM QIPCRTR SMC XDP "
        "MCTP".split()
    )
}


def family(value: object) -> int | None:
    """Return the number of a socket family, None if it is not one."""
    if _is_integer(value) and value in FAMILIES.values():
        return int(value)  # type: ignore[call-overload,no-any-return]
    return FAMILIES.get(value) if isinstance(value, str) else None


def _families(value: object) -> str | None:
    found = value if isinstance(value, list) else []
    unknown = next((item for item in found if family(item) is None), None)
    if unknown is not None:
        return f"{unknown!r:.80} is not a socket family{safe_text.near(unknown, FAMILIES)}"
    return _duplicate([family(item) for item in found])


SOCKETS = Kind(
    'a list of socket families, by name or number (["AF_ALG", 40])',
    lambda value: isinstance(value, list),
    _families,
)

# the characters of patterns for each; no name has others (RFC 1123, OCI references)
_CHARACTERS = {
    "namespace": re.compile(r"[a-z0-9*?-]*"),
    "pod": re.compile(r"[a-z0-9.*?-]*"),
    "container": re.compile(r"[a-z0-9*?-]*"),
    "image": re.compile(r"[A-Za-z0-9._/:@+*?-]*"),
    "engine": re.compile(r"[a-z*?]*"),
    "handler": re.compile(r"[^/]*"),
}


def patterns(of: str, takes: str) -> Kind:
    """Return a kind that takes a list of patterns; `of` is what they select: a namespace, ..."""

    def problem(value: object) -> str | None:
        items = value if isinstance(value, list) else []
        return next(filter(None, (_pattern(of, item) for item in items)), None) or _duplicate(value)

    return Kind(takes, _list_of(is_word), problem)


def _pattern(of: str, pattern: str) -> str | None:
    begin = _CHARACTERS[of].match(pattern)
    if begin and begin.end() < len(pattern):
        return (
            f"the pattern {pattern!r:.80} matches nothing: no {of} has {pattern[begin.end()]!a} in "
            "its name; * is any run of characters, ? is any one, others stand for themselves"
        )
    known = (*engine_names.KNOWN, UNKNOWN)
    if of == "engine" and not any(matches(pattern, engine) for engine in known):
        return (
            f"there is no engine {pattern!r:.80}; there are {', '.join(known)}"
            f"{safe_text.near(pattern, known)}"
        )
    return None
