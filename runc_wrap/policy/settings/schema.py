"""The settings of config.toml, each declared once: name, valid values, default.

Parsing, error messages and the compiled form all use these. docs/policy-reference.md says what each
one means. A kind of value checks values, and describes in words what is valid.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from runc_wrap import safe_text
from runc_wrap.host import engine_names
from runc_wrap.hotpath.annotations import HONOUR
from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.hotpath.decision import ADOPT, ADOPT_NONE, ADOPT_WEAKER, AS_DUMPED, MODES
from runc_wrap.hotpath.policy_rule_match import SELECTORS, matches

AUTO = "auto"
SYSTEM = "system"
BUILTIN = "builtin"
TABLE, CAPTURED = "table", "captured"
RUN_UNMODIFIED = "run-unmodified"
RULES, DEFAULT = "rule", "default"


def _is_word(value: object) -> bool:
    """Tell whether a value is a non-empty string of printable characters."""
    return isinstance(value, str) and bool(value) and value.isprintable()


@dataclass(frozen=True)
class _Kind:
    """A kind of value: `takes` in words; `problem` returns what else is wrong if `fits` holds."""

    takes: str
    fits: Callable[[object], bool] = _is_word
    problem: Callable[[object], str | None] = field(default=lambda _: None)


def _choice(*words: str) -> _Kind:
    """Return a kind that takes one of these words."""

    def problem(value: object) -> str | None:
        if value in words:
            return None
        return f"it takes {takes}{safe_text.near(value, words)}"

    shown = [f'"{word}"' for word in words] if "," in "".join(words) else words
    takes = f"{', '.join(shown[:-1])} or {shown[-1]}"
    return _Kind(takes, _is_word, problem)


_FLAG = _Kind("true or false", lambda value: isinstance(value, bool))
_WORDS = _Kind(
    "a list of names or absolute paths",
    lambda value: isinstance(value, list) and bool(value) and all(map(_is_word, value)),
)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_PERCENT = _Kind(
    "a whole number from 0 to 100", lambda value: _is_integer(value) and value in range(101)
)


def _time_problem(value: object) -> str | None:
    if isinstance(value, dt.date) and value.year >= dt.MAXYEAR:
        return "the last year has no end; leave until out for a rule without end"
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return "a time needs its offset from UTC: write 2027-01-31T18:00:00Z, or only the day"
    return None


_UNTIL = _Kind(
    "a day (2027-01-31) or a time with its offset (2027-01-31T18:00:00Z)",
    lambda value: isinstance(value, dt.date),  # the base class of datetime, too
    _time_problem,
)

_CALL = re.compile(r"[a-z_][a-z0-9_]*")


def _list_of(fits: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _duplicate(value: object) -> str | None:
    found = value if isinstance(value, list) else []
    again = next((item for item in found if found.count(item) > 1), None)
    return None if again is None else f"{again!r:.80} is listed twice; remove one"


_CALLS = _Kind(
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


_SOCKETS = _Kind(
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


def _patterns(of: str) -> _Kind:
    """Return a kind that takes a list of patterns; `of` is what they select: a namespace, ..."""

    def problem(value: object) -> str | None:
        items = value if isinstance(value, list) else []
        return next(filter(None, (_pattern(of, item) for item in items)), None) or _duplicate(value)

    return _Kind("a list of patterns", _list_of(_is_word), problem)


def _pattern(of: str, pattern: str) -> str | None:
    begin = _CHARACTERS[of].match(pattern)
    if begin and begin.end() < len(pattern):
        return (
            f"the pattern {pattern!r:.80} matches nothing: no {of} has {pattern[begin.end()]!a} in "
            "its name; * is any run of characters, ? is any one, others stand for themselves"
        )
    known = (*engine_names.KNOWN, UNKNOWN)
    if of == "engine" and not any(matches(pattern, engine) for engine in known):
        near = safe_text.near(pattern, known)
        return f"there is no engine {pattern!r:.80}; there are {', '.join(known)}{near}"
    return None


@dataclass(frozen=True)
class Setting:
    """One setting. `name` is its dotted TOML key; `default` None means that it can be left out."""

    name: str
    default: Any
    kind: _Kind


_MODE = _choice(*MODES)
_PROFILE = _Kind("runtime-default, containerd@1.7.24, localhost/<file>, or one composed of such")
_ADOPT = _choice(ADOPT_NONE, ADOPT, ADOPT_WEAKER)
_VERSION = _Kind("auto or a version")

SETTINGS = (
    Setting("runtime", ["runc", "crun"], _WORDS),
    Setting("on_error", "refuse", _choice("refuse", RUN_UNMODIFIED)),
    Setting("restore", "refuse", _choice("refuse", AS_DUMPED)),
    Setting("default.profile", "runtime-default", _PROFILE),
    Setting("default.mode", "enforce", _MODE),
    Setting("default.abis", "engine", _choice("engine", "kernel", "native")),
    Setting("default.int_arguments", "kernel", _choice("kernel", "engine")),
    Setting("default.privileged", "leave", _choice("leave", "audit", "confine")),
    Setting("default.adopt", ADOPT_NONE, _ADOPT),
    Setting("default.record", default=False, kind=_FLAG),
    Setting("default.candidate", None, _PROFILE),
    Setting("runtime_default.engine", AUTO, _choice(AUTO, *engine_names.KNOWN)),
    Setting("runtime_default.source", TABLE, _choice(TABLE, CAPTURED)),
    *(
        Setting(f"runtime_default.{each.name}", AUTO, _VERSION)
        for each in engine_names.KNOWN.values()
        if each.profile != engine_names.COMMON
    ),
    Setting(
        "runtime_default.containers_common",
        AUTO,
        _Kind("auto, system, builtin or a version of containers/common (0.62.3; not Podman's)"),
    ),
    Setting("opt_out.annotations", default=True, kind=_FLAG),
    Setting("opt_out.namespaces", ["*"], _patterns("namespace")),
    Setting("opt_out.images", ["*"], _patterns("image")),
    Setting("opt_out.late", "ignore", _choice("ignore", HONOUR)),
    Setting("overlay.deny", [], _CALLS),
    Setting("overlay.deny_sockets", [], _SOCKETS),
    Setting("overlay.io_uring", "deny", _choice("deny", "allow")),
    Setting("overlay.existing", default=False, kind=_FLAG),
)
RULE_SETTINGS = (
    Setting("rule.name", None, _Kind("a name, different for each rule")),
    *(Setting(f"rule.{of}", None, _patterns(of)) for of in SELECTORS),
    Setting("rule.mode", None, _MODE),
    Setting("rule.profile", None, _PROFILE),
    Setting("rule.adopt", None, _ADOPT),
    Setting("rule.record", None, _FLAG),
    Setting("rule.candidate", None, _PROFILE),
    Setting("rule.percent", None, _PERCENT),
    Setting("rule.until", None, _UNTIL),
)
BY_NAME = {setting.name: setting for setting in (*SETTINGS, *RULE_SETTINGS)}
SECTIONS = frozenset(name.partition(".")[0] for name in BY_NAME if "." in name) - {RULES}

_OUTERMOST = frozenset(name.partition(".")[0] for name in BY_NAME)  # words before a dot or alone


def defaults() -> dict[str, Any]:
    """Return {name: default} of all settings, and an empty list of rules under RULES."""
    return {setting.name: setting.default for setting in SETTINGS} | {RULES: []}


class DecidingTable(NamedTuple):
    """[default] or one rule, as `kind` says: what is `written` in it, and what is `effective`.

    `place` returns where the owner wrote a setting of it, else where the rule is.
    """

    kind: str
    written: Mapping[str, Any]
    effective: Mapping[str, Any]
    place: Callable[[str], str]


def deciding_tables(values: Mapping[str, Any]) -> Iterator[DecidingTable]:
    """Yield the tables that decide about containers: [default], then the rules in their order."""
    place, prefix = placing(values), f"{DEFAULT}."
    named = [(name.removeprefix(prefix), name) for name in values if name.startswith(prefix)]
    default = {key: values[name] for key, name in named}
    yield DecidingTable(DEFAULT, default, default, lambda key: place(f"{prefix}{key}"))
    for at, rule in enumerate(values[RULES]):
        yield DecidingTable(RULES, rule, {**default, **rule}, partial(place, RULES, at))


def placing(values: Mapping[str, Any]) -> Callable[..., str]:
    """Return the function that gives a setting's place; settings not read from files have none."""
    place: Callable[..., str] = getattr(values, "place", lambda *_: "")
    return place


def problem(name: str, value: object) -> str | None:
    """Return what is wrong with a setting of this name and value, None if it is valid."""
    setting = BY_NAME.get(name)
    if setting is None:
        section, dot, _ = name.partition(".")
        known = sorted(
            one for one in BY_NAME if section not in _OUTERMOST or one.startswith(section)
        )
        is_outermost = not dot and name not in _OUTERMOST
        near = safe_text.near(name, _OUTERMOST if is_outermost else BY_NAME)
        return f"{name:.80} is not a setting{near}; there are {', '.join(known)}"
    if not setting.kind.fits(value):
        return f"{name} is {_shown(value)}; it takes {setting.kind.takes}"
    wrong = setting.kind.problem(value)
    return f"{name} is {_shown(value)}; {wrong}" if wrong else None


def _shown(value: object) -> str:
    try:
        return f"{value.isoformat() if isinstance(value, dt.date) else repr(value):.80}"
    except ValueError:  # Python does not print integers of thousands of digits
        return "a huge number"
