"""The overlay as the owner writes it: checking it, and putting it on compiled profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath import overlay as hot
from runc_wrap.policy import kinds
from runc_wrap.policy.naming import placing
from runc_wrap.profiles import lint, syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json = dict[str, Any]
_DENY = "overlay.deny"
_VITAL = "execve"
_X86 = "SCMP_ARCH_X86"


def overlay(values: Mapping[str, Any]) -> Json | None:
    """Return the overlay's compiled form, None where it denies nothing."""
    deny, sockets = values[_DENY], values["overlay.deny_sockets"]
    if not deny and not sockets:
        return None
    return {
        "deny": list(deny),
        "deny_sockets": [kinds.family(one) for one in sockets],
        "existing": values["overlay.existing"],
    }


def put_on(compiled: Json, over: Json | None) -> Json:
    """Return a compiled profile with the overlay in it: whatever the capabilities, it denies."""
    if over is None:
        return compiled
    return {**compiled, "rules": hot.overlaid(compiled["rules"], compiled["block"], over)}


def problems(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield why an overlay would not deny, or would let nothing run."""
    denied, place = values[_DENY], placing(values)(_DENY)
    known = syscalls.known_to_libseccomp(denied)
    for name in denied:
        if known is not None and name not in known:
            yield (
                f"{place}{_DENY} has {name}, which libseccomp does not know: runtimes would pass "
                f"over it and deny nothing{kinds.near(name, _common())}."
            )
    if _VITAL in denied:
        yield f"{place}{_DENY} has {_VITAL}: no container could start. Leave it out."
    if values["overlay.existing"] and overlay(values) is None:
        yield (
            f"{placing(values)('overlay.existing')}overlay.existing is true, but the overlay "
            "denies nothing; write deny or deny_sockets."
        )


def _common() -> set[str]:
    from runc_wrap.profiles import builtin  # noqa: PLC0415 - only for a misspelling

    loaded = (builtin.load(name) for name in builtin.names())
    rare = {"io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "add_key"}
    return rare.union(*(rule.names for profile in loaded for rule in profile.rules))


def remarks(values: Mapping[str, Any], profiles: Mapping[tuple[str, str], Json]) -> Iterator[str]:
    """Yield what stays open beside the overlay, and what it closes to the runtime itself."""
    needed = sorted(lint.RUNTIME_CALLS.intersection(values[_DENY]))
    if needed:
        yield (
            f"warning: {placing(values)(_DENY)}{_DENY} has {', '.join(needed)}, which runc or crun "
            "needs once the filter is loaded; containers may not start."
        )
    if values["overlay.deny_sockets"]:
        yield from _ways_round(values, profiles)


def _ways_round(
    values: Mapping[str, Any], profiles: Mapping[tuple[str, str], Json]
) -> Iterator[str]:
    place = placing(values)("overlay.deny_sockets")
    through_x86 = _open(profiles, "socketcall", _X86)
    if through_x86:
        yield (
            f"warning: {place}32-bit programs can still make the denied sockets by socketcall(2), "
            f'under {through_x86}; write default.abis = "native", or add socketcall to deny.'
        )
    through_uring = _open(profiles, "io_uring_setup", "")
    if through_uring:
        yield (
            f"warning: {place}programs can still make the denied sockets by io_uring, under "
            f"{through_uring}; add io_uring_setup to deny."
        )


def _open(profiles: Mapping[tuple[str, str], Json], name: str, abi: str) -> str:
    """Return which profiles let a call through, some form of it, to some capabilities."""
    found = {
        profile
        for (profile, mode), compiled in profiles.items()
        if mode == "enforce" and _allows(compiled, name) and _has(compiled, abi)
    }
    return ", ".join(sorted(found))


def _has(compiled: Json, abi: str) -> bool:
    return not abi or abi in compiled["block"].get("architectures", ())


def _allows(compiled: Json, name: str) -> bool:
    naming = [entry["rule"] for entry in compiled["rules"] if name in entry["rule"]["names"]]
    permissive = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY")
    by_default = compiled["block"]["defaultAction"] in permissive and not naming
    return by_default or any(rule["action"] in permissive for rule in naming)
