"""A profile as another mode or other ABIs have it: derived from the very same rules.

Every mode but `off` is a profile of its own.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from runc_wrap.hotpath.rule_algebra import disjoint
from runc_wrap.profiles import filter_installation, observe_mode
from runc_wrap.profiles.compile import compile_profile
from runc_wrap.profiles.model import Kernel, Profile
from runc_wrap.profiles.spec_names import ALLOW, LOG, OCI

Json = dict[str, Any]


ENFORCE, ENFORCE_LOG, AUDIT, OBSERVE, OFF = "enforce enforce-log audit observe off".split()
LOG_FLAG = "SECCOMP_FILTER_FLAG_LOG"
SPEC_ALLOW_FLAG = "SECCOMP_FILTER_FLAG_SPEC_ALLOW"
KILLABLE_FLAG = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
_OF_DENIALS = ("defaultErrnoRet", "listenerPath", "listenerMetadata")
_SPEC_ALLOW_SINCE = (4, 17)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the agent listens, and whether a call that it has received waits out signals.

    `killable` needs a runtime and a kernel that take the flag WAIT_KILLABLE_RECV.
    """

    path: str
    killable: bool = False


NOWHERE = Listener("")

# GOARCH -> what else its kernel may run
_SIBLINGS = {
    "amd64": "X86 X32",
    "arm64": "ARM",
    "mips64": "MIPS MIPS64N32",
    "mips64le": "MIPSEL MIPSEL64N32",
    "ppc64": "PPC",
    "s390x": "S390",
}


def compiled(
    profile: Profile, mode: str, *, arch: str, kernel: Kernel, listener: Listener = NOWHERE
) -> Json:
    """Return the compiled profile as a mode has it; `arch` is a GOARCH. Raises ProfileError."""
    if mode == ENFORCE_LOG:
        profile = enforce_log(profile, kernel)
    made = compile_profile(profile, arch=arch, kernel=kernel)
    if mode == OBSERVE:
        return observed(made, _all_abis(profile, arch), listener)
    return audited(made, _all_abis(profile, arch)) if mode == AUDIT else made


def enforce_log(profile: Profile, kernel: Kernel) -> Profile:
    """Return the profile with the kernel's log flag.

    Runtimes add SPEC_ALLOW only where no flags are given, so it is written beside; a profile with
    flags of its own, even none, keeps its choice.
    """
    flags = profile.flags
    if flags is None:
        flags = (SPEC_ALLOW_FLAG,) if kernel >= _SPEC_ALLOW_SINCE else ()
    return replace(profile, flags=tuple(dict.fromkeys((*flags, LOG_FLAG))))


def audited(made: Json, abis: tuple[str, ...], *, installing: bool = True) -> Json:
    """Return a compiled profile that lets every call through and logs what this one denies.

    All ABIs are listed: a filter kills whoever calls through one that is not, whatever its default.
    With `installing` it logs what installs a filter, too; releases before did not.
    """
    block = {key: value for key, value in made["block"].items() if key not in _OF_DENIALS}
    block["defaultAction"] = _audited(block["defaultAction"])
    if abis:
        block["architectures"] = list(abis)
    if "flags" in block:
        block["flags"] = [flag for flag in block["flags"] if flag != KILLABLE_FLAG]
    rules = [
        {**entry, "rule": _audited_rule(entry["rule"])}
        for entry in disjoint(made["rules"], made["block"])
    ]
    if installing:
        split = filter_installation.rules(rules, block["defaultAction"], LOG)
        rules = [*split, *filter_installation.probes(rules)]
    return {**made, "block": block, "rules": rules}


def observed(
    made: Json, abis: tuple[str, ...], listener: Listener, *, installing: bool = True
) -> Json:
    """Return a compiled profile that sends the agent what this one denies; see `observing`.

    With `installing` it sends what installs a filter, too; releases before did not.

    Unless a received call waits out signals, one that interrupts it restarts the call, or ends it
    with EINTR, as any call that sleeps.
    """
    block = audited(made, abis)["block"]
    rules = disjoint(made["rules"], made["block"])
    sent, metadata = observe_mode.observed(made, rules, abis, installing=installing)
    if listener.killable:
        flags = block.get("flags", [SPEC_ALLOW_FLAG])
        block["flags"] = [*flags, KILLABLE_FLAG]
    block |= {"listenerPath": listener.path, "listenerMetadata": metadata}
    return {**made, "block": block, "rules": sent}


def former(compiled: Json, enforced: Json, mode: str) -> Json:
    """Return a compiled profile as releases before made it, which told of no installations.

    `enforced` is the same profile under enforce. Raises ProfileError.
    """
    block = compiled["block"]
    all_abis = tuple(block.get("architectures", ()))
    if mode == AUDIT:
        return audited(enforced, all_abis, installing=False)
    if mode != OBSERVE:
        return compiled
    listener = Listener(block.get("listenerPath", ""), KILLABLE_FLAG in block.get("flags", ()))
    return observed(enforced, all_abis, listener, installing=False)


def _audited(action: str) -> str:
    return action if action == ALLOW else LOG


def _audited_rule(rule: Json) -> Json:
    kept = {key: value for key, value in rule.items() if key != "errnoRet"}
    if not kept.get("args"):
        kept.pop("args", None)
    return {**kept, "action": _audited(rule["action"])}


def _all_abis(profile: Profile, arch: str) -> tuple[str, ...]:
    siblings = _SIBLINGS.get(arch, "").split()
    every = [OCI[arch], *(f"SCMP_ARCH_{name}" for name in siblings)] if siblings else []
    return tuple(dict.fromkeys((*listed(profile, arch), *every)))


def listed(profile: Profile, arch: str) -> tuple[str, ...]:
    """Return the ABIs that a profile lists on a machine; none means the native one alone."""
    return profile.architectures or profile.arch_map.get(arch, ())


def left_out(profile: Profile, arch: str, runnable: Collection[str]) -> list[str]:
    """Return the runnable ABIs that a profile does not list: calls through them are killed."""
    known = {*listed(profile, arch), OCI[arch]}
    return sorted(set(runnable) - known)


def with_abis(profile: Profile, arch: str, kept: Collection[str]) -> Profile:
    """Return the profile for those of its ABIs that are in `kept`, and always the native one."""
    wanted = {*kept, OCI[arch]}
    abis = tuple(abi for abi in listed(profile, arch) if abi in wanted)
    return replace(profile, architectures=abis, arch_map={})
