"""The profiles that the policy in force can give to containers of this node's engines."""

from collections.abc import Iterator

from runc_wrap.host import engine_names
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.annotations import RUNTIME_DEFAULT
from runc_wrap.hotpath.compiled_policy import CompiledPolicy, CompiledProfile
from runc_wrap.hotpath.decision import AUDIT, ENFORCE, OBSERVE, OFF, profile_of
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node import installed_programs
from runc_wrap.node.paths import Places

CANDIDATE = "candidate"


def decided(policy: CompiledPolicy) -> set[tuple[str, str]]:
    """Return each (profile, mode) that the policy can decide without annotations."""
    rules = policy["rules"]
    modes = {ENFORCE, policy["default"]["mode"], *(rule.get("mode", ENFORCE) for rule in rules)}
    modes |= {AUDIT} if policy["privileged"] == AUDIT else set()
    named = {policy["default"]["profile"], RUNTIME_DEFAULT}
    named |= {rule["profile"] for rule in rules if "profile" in rule}
    engines = policy["runtime_default"]
    profiles = {profile_of(name, engine, policy) for name in named for engine in engines}
    return {(name, mode) for name in profiles for mode in modes - {OFF}}


def enforced(places: Places) -> Iterator[CompiledProfile]:
    """Yield the profiles as they are enforced; none of engines that are not installed.

    If no engine is found (a distribution of Kubernetes has its own elsewhere), those of all.
    """
    policy = installed_programs.policy_in_force(places.prefix)
    if policy is None:
        return
    defaults = policy["runtime_default"]
    here = {
        profile
        for engine, profile in defaults.items()
        if engine in engine_names.KNOWN and installed_programs.program_of(engine)
    }
    absent = set(defaults.values()) - here - {policy["default"]["profile"]} if here else set()
    for name, mode in sorted(decided(policy)):
        if mode == ENFORCE and name not in absent:
            try:
                yield policy_file.load_profile(policy, name, mode)
            except Refusal:  # policy_in_force reports it
                continue


def modes(places: Places) -> set[str]:
    """Return the modes, observe also if calls are recorded, and CANDIDATE if it has one.

    An empty set without a policy.
    """
    policy = installed_programs.policy_in_force(places.prefix)
    if policy is None:
        return set()
    both = (policy["default"], *policy["rules"])
    found = {policy["privileged"], *(one["mode"] for one in both if "mode" in one)}
    found |= {CANDIDATE} if policy.get("candidates") else set()
    asks = any(one.get("record") for one in both)  # the agent, as observe does
    return found | ({OBSERVE} if asks else set())
