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

# ipc(2), socketcall(2): what each stands for on 32-bit x86
_IPC = "msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget"
_SOCKETCALL = """
accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmsg
send sendmmsg sendmsg sendto setsockopt shutdown socket socketpair
"""
_MULTIPLEXED = {"ipc": frozenset(_IPC.split()), "socketcall": frozenset(_SOCKETCALL.split())}


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
    for multiplexer in _MULTIPLEXED:
        yield from _round_by(multiplexer, values, profiles)
    if values["overlay.deny_sockets"] and (under := _open(profiles, "io_uring_setup", "")):
        yield (
            f"warning: {placing(values)('overlay.deny_sockets')}programs can still make the denied "
            f"sockets by io_uring, under {under}; add io_uring_setup to deny."
        )


def _round_by(
    multiplexer: str, values: Mapping[str, Any], profiles: Mapping[tuple[str, str], Json]
) -> Iterator[str]:
    """Yield what a 32-bit program can still do by a call that stands for many."""
    denied = sorted(_MULTIPLEXED[multiplexer].intersection(values[_DENY]))
    setting = _DENY if denied else "overlay.deny_sockets"
    if values["overlay.deny_sockets"] and multiplexer == "socketcall":
        denied.append("the denied sockets")
    if denied and (under := _open(profiles, multiplexer, _X86)):
        yield (
            f"warning: {placing(values)(setting)}32-bit programs still have {', '.join(denied)} by "
            f'{multiplexer}(2), under {under}; write default.abis = "native", or add {multiplexer} '
            "to deny."
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
