"""The ways around an overlay's denials that stay open in the policy, and what closes them.

A way around is a call with the same effect that the compiled profiles still permit with the overlay
applied: to some containers or to all, with any or some arguments, through some ABIs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from runc_wrap.hotpath.compiled_policy import CompiledProfile
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.policy.overlay_settings import (
    ALLOW,
    DENIED_SOCKETS,
    DENY,
    IO_URING,
    SOCKETS,
    by_ring,
    rings_denied,
)
from runc_wrap.policy.settings.schema import placing
from runc_wrap.profiles import abis, sibling_calls, syscall_names
from runc_wrap.profiles.runtime_spec_names import OCI, PASSING
from runc_wrap.profiles.sibling_calls import RING_CALLS, RING_SETUP, RINGABLE
from runc_wrap.profiles.unobserved_calls import RUNTIME_CALLS


def remarks(
    values: Mapping[str, Any], profiles: Mapping[tuple[str, str], CompiledProfile], arch: str
) -> Iterator[str]:
    """Yield what the overlay denies that the runtime itself needs, and the ways around it."""
    needed = sorted(RUNTIME_CALLS.intersection(values[DENY]))
    if needed:
        yield (
            f"warning: {placing(values)(DENY)}{DENY} has {', '.join(needed)}, which runc or crun "
            "needs after loading the filter; containers may not start."
        )
    yield from _ways(values, _ProfilesInForce(profiles, arch))


def _ways(values: Mapping[str, Any], profiles: _ProfilesInForce) -> Iterator[str]:
    """Yield the ways around each denial, and what to write to close them."""
    yield from _rings(values, profiles)
    place = placing(values)(DENY)
    for call in values[DENY]:
        yield from _beside(call, DENY, sibling_calls.SIBLINGS.get(call, ()), values, profiles)
        if call in sibling_calls.NOT_CALLS:
            yield (
                f"note: {place}{DENY}: {sibling_calls.NOT_CALLS[call]} can do what {call} does, "
                "or part of it, and is not a system call, so that no filter can deny it; restrict "
                "its permissions."
            )
    if values[SOCKETS]:
        yield from _beside(DENIED_SOCKETS, SOCKETS, ("socketcall",), values, profiles)
    if exempt := sorted(sibling_calls.EXEMPT.intersection(values[DENY])):
        yield (
            f"warning: {place}{DENY} has {', '.join(exempt)}, which Linux exempts from every "
            "filter (uretprobe since 6.14, 6.13.3 and 6.12.14; uprobe since 6.18 and 6.12.57): "
            "denying it has no effect there; leave it out."
        )


def _rings(values: Mapping[str, Any], profiles: _ProfilesInForce) -> Iterator[str]:
    """Yield that rings are denied as well, or which denied calls they still can replace."""
    denied, setup = by_ring(values), profiles.open(RING_SETUP)
    beyond = [call for call in denied if call not in RING_CALLS]
    if values[IO_URING] != ALLOW and beyond and RING_SETUP not in denied:
        place = placing(values)(SOCKETS if beyond == [DENIED_SOCKETS] else DENY)
        yield (
            f"note: {place}io_uring can replace {', '.join(beyond)}, unseen by filters, so "
            f"{', '.join(RING_CALLS)} are denied as well; to allow them, which leaves this way "
            f'open, write io_uring = "{ALLOW}" in [overlay].'
        )
    elif values[IO_URING] == ALLOW and setup and beyond:
        yield (
            f'warning: {placing(values)(IO_URING)}{IO_URING} is "{ALLOW}": programs can still '
            f"do {', '.join(beyond)} by io_uring, {_where(setup)}; leave it out to close that."
        )


def _beside(
    denied: str,
    setting: str,
    others: Iterable[str],
    values: Mapping[str, Any],
    profiles: _ProfilesInForce,
) -> Iterator[str]:
    """Yield those of `others` that stay open, grouped by the containers that may call them."""
    stay: dict[str, list[str]] = {}
    for call in others:
        if call not in values[DENY] and (found := _found(call, values, profiles)):
            stay.setdefault(found, []).append(call)
    if not stay:
        return
    listed = "; ".join(f"{', '.join(calls)} {where}" for where, calls in stay.items())
    adding = [call for calls in stay.values() for call in calls]
    remedy = _remedy(adding, stay)
    severity = "warning" if remedy.startswith(("add", "write")) else "note"
    yield (
        f"{severity}: {placing(values)(setting)}{setting}: ways around {denied} stay open: "
        f"{listed}; {remedy}."
    )


def _found(call: str, values: Mapping[str, Any], profiles: _ProfilesInForce) -> str:
    """Return to whom a call stays open, directly or by a ring; "" if to no container."""
    itself = profiles.open(call)
    is_ringable = call in RINGABLE and not rings_denied(values)
    setup = profiles.open(RING_SETUP) if is_ringable else {}
    direct = {name for names in itself.values() for name in names}
    left = {how: [name for name in names if name not in direct] for how, names in setup.items()}
    rest = _where({how: names for how, names in left.items() if names})
    return " and ".join([_where(itself)] * bool(itself) + [f"by io_uring {rest}"] * bool(rest))


def _where(found: Mapping[_Opening, list[str]]) -> str:
    return " and ".join(f"{how} {', '.join(found[how])}" for how in sorted(found))


def _remedy(calls: list[str], stay: Iterable[str]) -> str:
    """Return what to write in the settings, and what no setting can close."""
    known = syscall_names.known_to_libseccomp(calls)
    unknown = [] if known is None else [call for call in calls if call not in known]
    needed = sorted(RUNTIME_CALLS.intersection(calls))
    named = [call for call in calls if call not in (*unknown, *needed)]
    words = [f"add {', '.join(named)} to deny"] if named else []
    if all(where.startswith("through ") for where in stay):
        words.append('write default.abis = "native"')
    parts = [" or ".join(words)] if words else []
    if needed:
        parts.append(f"{', '.join(needed)} cannot be denied: no container starts without")
    if unknown:
        closes = "only a profile that denies by default closes that"
        parts.append(f"this libseccomp does not know {', '.join(unknown)}: {closes}")
    return ", ".join(parts)


class _Opening(NamedTuple):
    """How a profile permits a call.

    `capability` is "" for every container, otherwise what a container must have; `abis` is "" if
    the machine's own ABI has the call, otherwise those that have it; `partly`: only some arguments.
    """

    capability: str = ""
    abis: str = ""
    partly: bool = False

    def __str__(self) -> str:
        """Return the conditions in words, to be followed by the names of profiles."""
        words = [f"through the ABI {self.abis}"] if self.abis else []
        words += [f"with {self.capability}"] if self.capability else []
        words += ["with some arguments"] if self.partly else []
        return " ".join([*words, "under"])


class _ProfilesInForce:
    """The compiled profiles in force, to find what they permit. `arch` is a GOARCH."""

    def __init__(self, compiled: Mapping[tuple[str, str], CompiledProfile], arch: str) -> None:
        self._enforced = {name: one for (name, mode), one in compiled.items() if mode == "enforce"}
        self._native = OCI[arch]

    def open(self, call: str) -> dict[_Opening, list[str]]:
        """Return how a call is permitted, with the names of the profiles that do so."""
        found: dict[_Opening, list[str]] = {}
        is_ignored = syscall_names.known_to_libseccomp([call]) == frozenset()  # by runtimes
        for name, compiled in sorted(self._enforced.items()):
            listed = compiled["block"].get("architectures") or [self._native]
            through = syscall_names.having(call, {*listed, self._native})
            names = [abis.of_oci(abi).name for abi in sorted(through)]
            own = "" if self._native in through else " and ".join(names)
            read: CompiledProfile = {**compiled, "rules": []} if is_ignored else compiled
            for capability, partly in _passed(read, call) if through else ():
                found.setdefault(_Opening(capability, own, partly), []).append(name)
        return found


def _passed(compiled: CompiledProfile, call: str) -> Iterator[tuple[str, bool]]:
    """Yield (capabilities that permit a call, "" if none is needed; whether only partly).

    First comes what every container may do, then what permits more, if anything does.
    """
    base = _verdict(compiled, call, frozenset())
    if base is not None:
        yield "", base
    for caps in _cap_sets(compiled, call) if base is not False else ():
        if (partly := _verdict(compiled, call, caps)) not in (None, base):
            yield " and ".join(sorted(caps)), partly is True
            return


def _cap_sets(compiled: CompiledProfile, call: str) -> list[frozenset[str]]:
    """Return the sets of capabilities on which a profile's rules about a call depend."""
    about = [entry for entry in compiled["rules"] if call in entry["rule"]["names"]]
    sets = {frozenset(entry["all"]) for entry in about if "all" in entry}
    sets |= {frozenset({cap}) for entry in about for cap in entry.get("none", ())}
    return sorted(sets, key=sorted)


def _verdict(compiled: CompiledProfile, call: str, caps: frozenset[str]) -> bool | None:
    """Return None if a call is denied with these capabilities, else whether it is permitted partly.

    A rule without comparisons overrides those with any; of several the first applies
    (filters.evaluate.block_evaluation). If no rule names socketcall or ipc, libseccomp applies the
    denials of single calls to them.
    """
    block = resolve(compiled, caps)
    rules = [rule for rule in block["syscalls"] if call in rule["names"]]
    plain = [rule["action"] for rule in rules if not rule.get("args")]
    if plain:
        return False if plain[0] in PASSING else None
    passing = [rule["action"] in PASSING for rule in rules]
    if block["defaultAction"] in PASSING and call not in syscall_names.MULTIPLEXERS:
        return not all(passing)
    return True if any(passing) else None
