"""What leads around the overlay: calls that do the same and stay open in the compiled profiles.

A profile lets a call through to some containers or to all, whatever the arguments or not, through
some ABIs. What stays open is asked of the profiles as they are put in force, the overlay in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath.resolve import resolve
from runc_wrap.policy.profile_names import placing
from runc_wrap.profiles import abis, lint, syscalls
from runc_wrap.profiles.bypass import io_uring, sibling_calls
from runc_wrap.profiles.spec_names import OCI

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Json = dict[str, Any]
DENY = "overlay.deny"
SOCKETS = "overlay.deny_sockets"
IO_URING = "overlay.io_uring"
ALLOW = "allow"
_DENIED = "the denied sockets"
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY")


@dataclass(frozen=True, order=True)
class Opening:
    """How a profile lets a call through.

    `capability` is "" for every container, else what a container must have; `abis` is "" where the
    machine's own programs have the call, else those that have it; `partly` is for some arguments.
    """

    capability: str = ""
    abis: str = ""
    partly: bool = False

    def __str__(self) -> str:
        """Return for whom it is open, in words that stand before the profiles."""
        words = [f"through the ABI {self.abis}"] if self.abis else []
        words += [f"with {self.capability}"] if self.capability else []
        words += ["with some arguments"] if self.partly else []
        return " ".join([*words, "under"])


def rings_denied(values: Mapping[str, Any]) -> list[str]:
    """Return the denials that a ring would lead around: calls, and the sockets; [] if it may."""
    if values[IO_URING] == ALLOW:
        return []
    return _by_ring(values)


def _by_ring(values: Mapping[str, Any]) -> list[str]:
    found = [call for call in values[DENY] if call in io_uring.RINGABLE or call in io_uring.CALLS]
    return [*found, *([_DENIED] if values[SOCKETS] else [])]


class Profiles:
    """The compiled profiles in force, asked what they let through. `arch` is a GOARCH."""

    def __init__(self, compiled: Mapping[tuple[str, str], Json], arch: str) -> None:
        self._enforced = {name: one for (name, mode), one in compiled.items() if mode == "enforce"}
        self._native = OCI[arch]

    def open(self, call: str) -> dict[Opening, list[str]]:
        """Return how a call is let through, with the names of the profiles that do so."""
        found: dict[Opening, list[str]] = {}
        for name, compiled in sorted(self._enforced.items()):
            for opening in self._openings(compiled, call):
                found.setdefault(opening, []).append(name)
        return found

    def _openings(self, compiled: Json, call: str) -> Iterator[Opening]:
        listed = compiled["block"].get("architectures") or [self._native]
        through = syscalls.having(call, {*listed, self._native})
        if syscalls.known_to_libseccomp([call]) == frozenset():
            compiled = {**compiled, "rules": []}  # runtimes pass over its name
        if through:
            own = "" if self._native in through else " and ".join(map(_short, sorted(through)))
            for capability, partly in _passed(compiled, call):
                yield Opening(capability, own, partly)


def _short(abi: str) -> str:
    return abis.of_oci(abi).name


def _passed(compiled: Json, call: str) -> Iterator[tuple[str, bool]]:
    """Yield which capabilities open a call ("" if none is needed), and whether only partly.

    First what every container may, then what opens it further, if anything does.
    """
    base = _verdict(compiled, call, frozenset())
    if base is not None:
        yield "", base
    if base is not False:
        wider = ((caps, _verdict(compiled, call, caps)) for caps in _asked(compiled, call))
        found = [(caps, partly) for caps, partly in wider if partly not in (None, base)]
        yield from [(" and ".join(sorted(caps)), partly is True) for caps, partly in found[:1]]


def _asked(compiled: Json, call: str) -> list[frozenset[str]]:
    """Return the sets of capabilities that a profile's rules about a call ask for."""
    about = [entry for entry in compiled["rules"] if call in entry["rule"]["names"]]
    sets = {frozenset(entry["all"]) for entry in about if "all" in entry}
    sets |= {frozenset({cap}) for entry in about for cap in entry.get("none", ())}
    return sorted(sets, key=sorted)


def _verdict(compiled: Json, call: str, caps: frozenset[str]) -> bool | None:
    """Return None if a call is denied to containers with these capabilities, else whether partly.

    A rule without comparisons beats those with; of several the first holds (filters.simulate).
    socketcall and ipc that no rule names: libseccomp denies through them what is denied itself.
    """
    block = resolve(compiled, caps)
    rules = [rule for rule in block["syscalls"] if call in rule["names"]]
    plain = [rule["action"] for rule in rules if not rule.get("args")]
    if plain:
        return False if plain[0] in _PERMISSIVE else None
    passing = [rule["action"] in _PERMISSIVE for rule in rules]
    if block["defaultAction"] in _PERMISSIVE and call not in syscalls.MULTIPLEXERS:
        return not all(passing)
    return True if any(passing) else None


def ways(values: Mapping[str, Any], profiles: Profiles) -> Iterator[str]:
    """Yield what stays open beside each denial, and what to write to close it."""
    yield from _rings(values, profiles)
    for call in values[DENY]:
        yield from _beside(call, DENY, sibling_calls.SIBLINGS.get(call, ()), values, profiles)
        if call in sibling_calls.NOT_CALLS:
            yield (
                f"note: {placing(values)(DENY)}{DENY}: {sibling_calls.NOT_CALLS[call]} can do what "
                f"{call} does, or part of it, and is no system call that a filter could see; see "
                "to its permissions."
            )
    if values[SOCKETS]:
        yield from _beside(_DENIED, SOCKETS, ("socketcall",), values, profiles)
    if exempt := sorted(sibling_calls.EXEMPT.intersection(values[DENY])):
        yield (
            f"warning: {placing(values)(DENY)}{DENY} has {', '.join(exempt)}, which Linux lets "
            "through every filter (uretprobe since 6.14, 6.13.3 and 6.12.14; uprobe since 6.18 and "
            "6.12.57): denying it does nothing there; leave it out."
        )


def _rings(values: Mapping[str, Any], profiles: Profiles) -> Iterator[str]:
    """Yield what is denied with a call that a ring makes too, or what a ring still does."""
    denied, setup = _by_ring(values), profiles.open(io_uring.SETUP)
    beyond = [call for call in denied if call not in io_uring.CALLS]
    if values[IO_URING] != ALLOW and beyond and io_uring.SETUP not in denied:
        place = placing(values)(SOCKETS if beyond == [_DENIED] else DENY)
        yield (
            f"note: {place}io_uring does {', '.join(beyond)} too, and no filter sees that: "
            f"{', '.join(io_uring.CALLS)} are denied as well; to keep them and the way around, "
            f'write io_uring = "{ALLOW}" in [overlay].'
        )
    elif values[IO_URING] == ALLOW and setup and beyond:
        yield (
            f'warning: {placing(values)(IO_URING)}{IO_URING} is "{ALLOW}": programs still have '
            f"{', '.join(beyond)} by io_uring, {_where(setup)}; leave it out to close that."
        )


def _beside(
    denied: str, setting: str, others: Iterable[str], values: Mapping[str, Any], profiles: Profiles
) -> Iterator[str]:
    """Yield the calls of these that stay open beside what is denied, by whom they are open to."""
    stay: dict[str, list[str]] = {}
    for call in others:
        if call not in values[DENY] and (found := _found(call, values, profiles)):
            stay.setdefault(found, []).append(call)
    if not stay:
        return
    told = "; ".join(f"{', '.join(calls)} {where}" for where, calls in stay.items())
    adding = [call for calls in stay.values() for call in calls]
    remedy = _remedy(adding, stay)
    severity = "warning" if remedy.startswith(("add", "write")) else "note"
    yield (
        f"{severity}: {placing(values)(setting)}{setting}: ways around {denied} stay open: {told}; "
        f"{remedy}."
    )


def _found(call: str, values: Mapping[str, Any], profiles: Profiles) -> str:
    """Return for whom a call stays open, itself or done by a ring; "" if for nobody."""
    itself = profiles.open(call)
    by_ring = call in io_uring.RINGABLE and not rings_denied(values)
    setup = profiles.open(io_uring.SETUP) if by_ring else {}
    told = {name for names in itself.values() for name in names}
    left = {how: [name for name in names if name not in told] for how, names in setup.items()}
    rest = _where({how: names for how, names in left.items() if names})
    return " and ".join([_where(itself)] * bool(itself) + [f"by io_uring {rest}"] * bool(rest))


def _where(found: Mapping[Opening, list[str]]) -> str:
    return " and ".join(f"{how} {', '.join(found[how])}" for how in sorted(found))


def _remedy(calls: list[str], stay: Iterable[str]) -> str:
    """Return what to write, and what cannot be closed by writing it."""
    known = syscalls.known_to_libseccomp(calls)
    unknown = [] if known is None else [call for call in calls if call not in known]
    needed = sorted(lint.RUNTIME_CALLS.intersection(calls))
    named = [call for call in calls if call not in (*unknown, *needed)]
    words = [f"add {', '.join(named)} to deny"] if named else []
    if all(where.startswith("through ") for where in stay):
        words.append('write default.abis = "native"')
    told = [" or ".join(words)] if words else []
    if needed:
        told.append(f"{', '.join(needed)} cannot be closed: no container starts without")
    if unknown:
        told.append(
            f"{', '.join(unknown)} this libseccomp does not know: only a profile that denies by "
            "default closes that"
        )
    return ", ".join(told)
