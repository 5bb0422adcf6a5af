"""A profile for another mode or other ABIs, or with `record`, derived from the same rules.

Every mode except `off` has its own derived profile.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from runc_wrap.hotpath.compiled_policy import CompiledProfile, CompiledRule
from runc_wrap.hotpath.decision import AUDIT, ENFORCE_LOG, OBSERVE
from runc_wrap.hotpath.rule_algebra import calls_of, disjoint, renamed
from runc_wrap.profiles.abis import of_oci, runnable
from runc_wrap.profiles.mode_profiles import observe_mode, own_filter_rules
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.runtime_spec_names import ALLOW, LOG, NOTIFY, OCI
from runc_wrap.profiles.source_profile import Kernel, Profile
from runc_wrap.profiles.unobserved_calls import BASE

Json = dict[str, Any]

LOG_FLAG = "SECCOMP_FILTER_FLAG_LOG"
SPEC_ALLOW_FLAG = "SECCOMP_FILTER_FLAG_SPEC_ALLOW"
_TSYNC = "SECCOMP_FILTER_FLAG_TSYNC"
KILLABLE_FLAG = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
_OF_DENIALS = ("defaultErrnoRet", "listenerPath", "listenerMetadata")
_SPEC_ALLOW_SINCE = (4, 17)
# of a listener to which only calls that the profile allows are sent
RECORD_METADATA = f"{observe_mode.METADATA} record"  # agent.observe.call_arguments.RECORDS
RECORD_COST = (  # as measured in docs/measurements.md, on two busy cores
    "Recording costs about 1 ms for each call about which the agent is asked. A script that does "
    "little but start programs took 4 to 5 times as long, a walk through all files 1.6 times."
)


@dataclass(frozen=True, slots=True)
class AgentListener:
    """Where the agent listens; with `killable`, only fatal signals interrupt a received call.

    `killable` needs a runtime and a kernel that accept the flag WAIT_KILLABLE_RECV.
    """

    path: str
    killable: bool = False


NOWHERE = AgentListener("")


def compiled(
    profile: Profile, mode: str, *, arch: str, kernel: Kernel, listener: AgentListener = NOWHERE
) -> CompiledProfile:
    """Return the compiled profile of a mode; `arch` is a GOARCH. Raises ProfileError."""
    if mode == ENFORCE_LOG:
        profile = enforce_log(profile, kernel)
    made = compile_profile(profile, arch=arch, kernel=kernel)
    if mode == OBSERVE:
        return observed(made, _all_abis(profile, arch), listener)
    return audited(made, _all_abis(profile, arch)) if mode == AUDIT else made


def enforce_log(profile: Profile, kernel: Kernel) -> Profile:
    """Return the profile with the kernel's log flag.

    Runtimes add SPEC_ALLOW only where no flags are given, so it is added here. A profile that sets
    `flags`, even to an empty list, keeps its choice.
    """
    flags = profile.flags
    if flags is None:
        flags = (SPEC_ALLOW_FLAG,) if kernel >= _SPEC_ALLOW_SINCE else ()
    return replace(profile, flags=tuple(dict.fromkeys((*flags, LOG_FLAG))))


def audited(made: CompiledProfile, abis: tuple[str, ...]) -> CompiledProfile:
    """Return a compiled profile that permits every call and logs those that `made` denies.

    All ABIs are listed: a filter kills callers through unlisted ABIs, whatever its default action.
    It also logs calls that install a filter.
    """
    block = {key: value for key, value in made["block"].items() if key not in _OF_DENIALS}
    block["defaultAction"] = _audited(block["defaultAction"])
    if abis:
        block["architectures"] = list(abis)
    if "flags" in block:
        block["flags"] = [flag for flag in block["flags"] if flag != KILLABLE_FLAG]
    rules: list[CompiledRule] = [
        {**one, "rule": {**one["rule"], "action": _audited(one["rule"]["action"])}}
        for one in map(observe_mode.tidy, disjoint(made["rules"], made["block"]))
    ]
    split = own_filter_rules.rules(rules, block["defaultAction"], LOG)
    return {**made, "block": block, "rules": [*split, *own_filter_rules.probes(rules)]}


def observed(
    made: CompiledProfile, abis: tuple[str, ...], listener: AgentListener
) -> CompiledProfile:
    """Return a compiled profile that sends the agent what `made` denies; see observe_mode.

    It also sends calls that install a filter.

    Unless the listener is `killable`, a signal that interrupts a received call restarts it or ends
    it with EINTR, like any sleeping call.
    """
    block = audited(made, abis)["block"]
    rules = disjoint(made["rules"], made["block"])
    sent, metadata = observe_mode.observed(made, rules, abis)
    return {**made, "block": asking(block, listener, metadata), "rules": sent}


def recorded(made: CompiledProfile, mode: str, listener: AgentListener) -> CompiledProfile:
    """Return a compiled profile of enforce or observe that also sends the agent what it allows.

    What it denies stays denied: only the action of rules that allow changes, from ALLOW to NOTIFY,
    on which the agent always lets a call continue. BASE stays as it is. A program's own filter that
    answers TRACE is outranked by NOTIFY: so each installation of a filter is sent as well, as in
    observe (agent.observe.own_filter_installations).

    In observe the agent cannot know which calls the profile allows, as that may depend on
    capabilities: the report knows. A profile with a listener of its own is not recorded.
    """
    block, rules = made["block"], made["rules"]
    if mode == OBSERVE:
        block = {**block, "listenerMetadata": observe_mode.METADATA}
    elif has_listener(made):
        return made
    else:
        rules = own_filter_rules.rules(rules, block["defaultAction"], NOTIFY)
        block = asking(block, listener, RECORD_METADATA)
    return {**made, "block": block, "rules": [part for entry in rules for part in _recorded(entry)]}


def _recorded(entry: CompiledRule) -> list[CompiledRule]:
    if entry["rule"]["action"] != ALLOW:
        return [entry]
    base = [name for name in calls_of(entry) if name in BASE]
    asked = [name for name in calls_of(entry) if name not in BASE]
    notified: CompiledRule = {**entry, "rule": {**entry["rule"], "action": NOTIFY}}
    return [renamed(one, names) for one, names in ((entry, base), (notified, asked)) if names]


def has_listener(made: CompiledProfile) -> bool:
    """Return whether a profile asks another process, whose answers may be denials."""
    sends = (one["rule"]["action"] == NOTIFY for one in made["rules"])
    return "listenerPath" in made["block"] or any(sends)


def asking(block: Json, listener: AgentListener, metadata: str) -> Json:
    """Return a block that sends the agent the calls of rules with NOTIFY."""
    own = block.get("flags", [SPEC_ALLOW_FLAG])
    # with TSYNC the kernel refuses a listener (linux:kernel/seccomp.c, seccomp_set_mode_filter)
    flags = [one for one in own if one != _TSYNC] + [KILLABLE_FLAG] * listener.killable
    more = {"flags": flags} if flags != own else {}
    return block | more | {"listenerPath": listener.path, "listenerMetadata": metadata}


def _audited(action: str) -> str:
    return action if action == ALLOW else LOG


def _all_abis(profile: Profile, arch: str) -> tuple[str, ...]:
    """Return the profile's ABIs and the machine's; none where it has one and none is listed."""
    every = runnable(of_oci(OCI[arch]))
    own = [abi.oci for abi in every] if len(every) > 1 else []
    return tuple(dict.fromkeys((*profile.abis(arch), *own)))


def left_out(profile: Profile, arch: str, kernels: Collection[str]) -> list[str]:
    """Return the runnable ABIs that a profile does not list: calls through them are killed."""
    known = {*profile.abis(arch), OCI[arch]}
    return sorted(set(kernels) - known)


def with_abis(profile: Profile, arch: str, kept: Collection[str]) -> Profile:
    """Return the profile restricted to its ABIs in `kept`, and always the native one."""
    wanted = {*kept, OCI[arch]}
    abis = tuple(abi for abi in profile.abis(arch) if abi in wanted)
    return replace(profile, architectures=abis, arch_map={})
