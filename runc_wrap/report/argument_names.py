"""Shows calls with their arguments by name, as strace does: unshare(CLONE_NEWUSER).

Unknown arguments are `…`. If the kernel takes an int, higher bits are shown beside the name: a
filter compares all 64.
"""

from collections.abc import Callable, Iterable, Mapping
from signal import Signals

from runc_wrap.report import linux_constants

Args = tuple[int | None, ...]
Names = Mapping[int, str]


MOST = 2  # kinds of arguments in a sentence
_INT = 0xFFFFFFFF
_SIGNAL = 0xFF
_TYPE = 0xF
_NETLINK, _INTERNET = 16, (2, 10)
_QUERY = 0xFFFFFFFF  # personality(2): change nothing
_UNKNOWN = "…"


def words(call: str, known: Iterable[Args], limit: int = MOST, *, are_all: bool = True) -> str:
    """Return the call, with those of its arguments that are known and have names."""
    kinds = shown(call, known)
    name = syscall(call)
    if not kinds:
        return name
    rest = f" and {len(kinds) - limit} others" if len(kinds) > limit else ""
    if len(kinds) == limit + 1:
        rest = " and another"
    unknown = "" if are_all else " and some unknown"
    return ", ".join(f"{name}({kind})" for kind in kinds[:limit]) + rest + unknown


def shown(name: str, kinds: Iterable[Args]) -> list[str]:
    """Return arguments by name, each kind once; [] for a call whose arguments have no names."""
    if name not in linux_constants.ARGUMENTS:
        return []
    found = (arguments(name, args) for args in kinds)
    return [one for one in dict.fromkeys(found) if one]


def arguments(name: str, args: Args) -> str:
    """Return the text between the brackets, "" if no argument is known and has a name."""
    named = linux_constants.ARGUMENTS.get(name, {})
    last = max((at for at, value in enumerate(args) if value is not None), default=-1)
    if not any(at <= last and args[at] is not None for at in named):
        return ""
    return ", ".join(filter(None, (_one(named.get(at), args, at) for at in range(last + 1))))


def syscall(name: str) -> str:
    """Return a call's name, with the kernel's name if libseccomp has only a number."""
    known = linux_constants.NEWER.get(name)
    return f"{name} ({known})" if known else name


def _one(kind: str | Names | None, args: Args, at: int) -> str:
    value = args[at]
    if value is None:
        return _UNKNOWN
    if isinstance(kind, str):
        return _WORDED[kind](value, args)
    named = _flags if isinstance(kind, linux_constants.Flags) else _named
    return named(value, kind or {})


def _number(value: int) -> str:
    return str(value) if value < 10 else f"{value:#x}"  # noqa: PLR2004 - digits


def _named(value: int, names: Names) -> str:
    """Return an int's name, or its number if it has none."""
    high = value & ~_INT
    name = names.get(value & _INT)
    if name is None:
        return _number(value)
    return f"{name}|{high:#x}" if high else name


def _flags(value: int, names: Names, first: str = "") -> str:
    """Return the names of the set bits, and the number of those without a name."""
    found = [first] if first else []
    found += [name for bit, name in names.items() if value & bit]
    rest = value & ~sum(bit for bit in names if value & bit)
    if rest or not found:
        found.append(f"{rest:#x}" if rest else "0")
    return "|".join(found)


def _clone(value: int, _: Args) -> str:
    """Return clone's flags, whose lowest byte is the signal sent when the child ends."""
    signal = value & _SIGNAL
    flags = value & ~_SIGNAL
    name = Signals(signal).name if signal in set(Signals) else f"{signal:#x}"
    if not signal:
        return _flags(flags, linux_constants.CLONE)
    return f"{_flags(flags, linux_constants.CLONE)}|{name}" if flags else name


def _socket_type(value: int, _: Args) -> str:
    name = linux_constants.TYPES.get(value & _TYPE)
    return _flags(value & ~_TYPE, linux_constants.TYPE_FLAGS, name) if name else _number(value)


def _protocol(value: int, args: Args) -> str:
    family = args[0]
    if family is not None and family & _INT == _NETLINK:
        return _named(value, linux_constants.NETLINK)
    if value and family is not None and family & _INT in _INTERNET:
        return _named(value, linux_constants.INTERNET)
    return _number(value)


def _personality(value: int, _: Args) -> str:
    if value & _INT == _QUERY:
        return "0xffffffff"
    name = linux_constants.PERSONALITIES.get(value & _SIGNAL)
    if name is None:
        return _number(value)
    flags = value & ~_SIGNAL
    return _flags(flags, linux_constants.PERSONALITY_FLAGS, name) if flags else name


_WORDED: dict[str, Callable[[int, Args], str]] = {
    "clone": _clone,
    "set_tid": lambda size, _: "set_tid" if size else "",
    "socket type": _socket_type,
    "protocol": _protocol,
    "personality": _personality,
}
