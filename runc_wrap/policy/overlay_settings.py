"""The overlay in the owner's settings: checking it, and applying it to compiled profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from runc_wrap import safe_text
from runc_wrap.hotpath import overlay as hot
from runc_wrap.policy import overlay_bypass
from runc_wrap.policy.settings import value_types
from runc_wrap.policy.settings.schema import placing
from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.bypass import io_uring
from runc_wrap.profiles.unobserved_calls import RUNTIME_CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runc_wrap.hotpath.compiled_policy import CompiledProfile, Overlay

Json = dict[str, Any]
_DENY = overlay_bypass.DENY
_VITAL = "execve"


def overlay(values: Mapping[str, Any]) -> Overlay | None:
    """Return the overlay's compiled form, None if it denies nothing.

    If an io_uring operation can replace a denied call, the calls that make and use rings are denied
    as well, since filters do not see operations.
    """
    deny, sockets = values[_DENY], values["overlay.deny_sockets"]
    if not deny and not sockets:
        return None
    rings = io_uring.CALLS if overlay_bypass.rings_denied(values) else ()
    found: Overlay = {
        "deny": list(dict.fromkeys([*deny, *rings])),
        "deny_sockets": [
            cast("int", value_types.family(one)) for one in sockets
        ],  # as the schema allows
        "existing": values["overlay.existing"],
    }
    return found


def put_on(compiled: CompiledProfile, over: Overlay | None) -> CompiledProfile:
    """Return a compiled profile with the overlay, which denies regardless of capabilities."""
    if over is None:
        return compiled
    return {**compiled, "rules": hot.overlaid(compiled["rules"], compiled["block"], over)}


def problems(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield why an overlay would deny nothing, or prevent every container from starting."""
    denied, place = values[_DENY], placing(values)(_DENY)
    known = syscall_names.known_to_libseccomp(denied)
    for name in denied:
        if known is not None and name not in known:
            yield (
                f"{place}{_DENY} has {name}, which libseccomp does not know"
                f"{safe_text.near(name, syscall_names.numbers(syscall_names.native()))}: runtimes "
                "would ignore it and deny nothing."
            )
    if _VITAL in denied:
        yield f"{place}{_DENY} has {_VITAL}: no container could start. Leave it out."
    if values[overlay_bypass.IO_URING] == overlay_bypass.ALLOW and (
        both := set(io_uring.CALLS) & {*denied}
    ):
        yield (
            f"{placing(values)(overlay_bypass.IO_URING)}{overlay_bypass.IO_URING} is allow, "
            f"but {_DENY} has {', '.join(sorted(both))}; leave one of them out."
        )
    if values["overlay.existing"] and overlay(values) is None:
        yield (
            f"{placing(values)('overlay.existing')}overlay.existing is true, but the overlay "
            "denies nothing; write deny or deny_sockets."
        )


def remarks(
    values: Mapping[str, Any], profiles: Mapping[tuple[str, str], CompiledProfile], arch: str
) -> Iterator[str]:
    """Yield what the overlay denies that the runtime itself needs, and the ways around it."""
    needed = sorted(RUNTIME_CALLS.intersection(values[_DENY]))
    if needed:
        yield (
            f"warning: {placing(values)(_DENY)}{_DENY} has {', '.join(needed)}, which runc or crun "
            "needs after loading the filter; containers may not start."
        )
    yield from overlay_bypass.ways(values, overlay_bypass.ProfilesInForce(profiles, arch))
