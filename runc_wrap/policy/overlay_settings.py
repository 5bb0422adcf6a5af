"""The overlay in the owner's settings: checking it, and applying it to compiled profiles."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from runc_wrap import safe_text
from runc_wrap.hotpath import overlay as hot
from runc_wrap.hotpath.compiled_policy import CompiledProfile, Overlay
from runc_wrap.policy.settings.schema import family, placing
from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.sibling_calls import RING_CALLS, RINGABLE

DENY = "overlay.deny"
SOCKETS = "overlay.deny_sockets"
IO_URING = "overlay.io_uring"
_EXISTING = "overlay.existing"
ALLOW = "allow"
_VITAL = "execve"
DENIED_SOCKETS = "the denied sockets"


def overlay(values: Mapping[str, Any]) -> Overlay | None:
    """Return the overlay's compiled form, None if it denies nothing.

    If an io_uring operation can replace a denied call, the calls that make and use rings are denied
    as well, since filters do not see operations.
    """
    deny, sockets = values[DENY], values[SOCKETS]
    if not deny and not sockets:
        return None
    rings = RING_CALLS if rings_denied(values) else ()
    return {
        "deny": list(dict.fromkeys([*deny, *rings])),
        "deny_sockets": [cast("int", family(one)) for one in sockets],  # as the schema allows
        "existing": values[_EXISTING],
    }


def rings_denied(values: Mapping[str, Any]) -> bool:
    """Return whether rings are denied, as they would bypass a denial."""
    return values[IO_URING] != ALLOW and bool(by_ring(values))


def by_ring(values: Mapping[str, Any]) -> list[str]:
    """Return the denials that a ring would bypass, calls and sockets."""
    found = [call for call in values[DENY] if call in RINGABLE or call in RING_CALLS]
    return [*found, *([DENIED_SOCKETS] if values[SOCKETS] else [])]


def put_on(compiled: CompiledProfile, over: Overlay | None) -> CompiledProfile:
    """Return a compiled profile with the overlay, which denies regardless of capabilities."""
    if over is None:
        return compiled
    return {**compiled, "rules": hot.overlaid(compiled["rules"], compiled["block"], over)}


def problems(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield why an overlay would deny nothing, or prevent every container from starting."""
    denied, place = values[DENY], placing(values)(DENY)
    known = syscall_names.known_to_libseccomp(denied)
    for name in denied:
        if known is not None and name not in known:
            near = safe_text.near(name, syscall_names.numbers(syscall_names.native()))
            yield (
                f"{place}{DENY} has {name}, which libseccomp does not know{near}: runtimes would "
                "ignore it and deny nothing."
            )
    if _VITAL in denied:
        yield f"{place}{DENY} has {_VITAL}: no container could start. Leave it out."
    if values[IO_URING] == ALLOW and (both := set(RING_CALLS) & {*denied}):
        what = f"{IO_URING} is allow, but {DENY} has {', '.join(sorted(both))}"
        yield f"{placing(values)(IO_URING)}{what}; leave one of them out."
    if values[_EXISTING] and overlay(values) is None:
        what = f"{_EXISTING} is true, but the overlay denies nothing"
        yield f"{placing(values)(_EXISTING)}{what}; write deny or deny_sockets."
