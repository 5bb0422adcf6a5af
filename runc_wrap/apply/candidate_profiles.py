"""Makes each profile that has a candidate beside it, and proves it before it is put in force."""

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache, partial

from runc_wrap.apply import policy_proof
from runc_wrap.apply.policy_proof import Prover
from runc_wrap.filters import libseccomp_proof, profile_difference
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.libseccomp_proof import Compared
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.compiled_policy import CompiledPolicy, CompiledProfile
from runc_wrap.hotpath.decision import ENFORCE, ENFORCE_LOG, form_of
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.policy.candidate_settings import CandidateCost
from runc_wrap.policy.compiler_facts import Facts, PolicyError
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.profiles import abis
from runc_wrap.profiles.actions import denies
from runc_wrap.profiles.mode_profiles import candidate_mode, modes
from runc_wrap.profiles.mode_profiles.candidate_mode import Preview
from runc_wrap.profiles.runtime_spec_names import NOTIFY, TRACE
from runc_wrap.profiles.sibling_calls import MULTIPLEXED
from runc_wrap.profiles.source_profile import ProfileError

_MULTIPLEXED = frozenset[str]().union(*MULTIPLEXED.values())
_MOST_RULES = 150  # of both on one call, seconds to try in part; two of Podman have 140 on socket
_FOR_EVERY_CALL = 3  # of policy_proof.capabilities: what most containers have, none, and all


def settle(compiled: Compiled, facts: Facts, prover: Prover) -> Compiled:
    """Return the policy with a profile for each pair. Raises PolicyError."""
    if not compiled.pairs:
        return compiled
    digests: dict[str, str] = {}
    profiles, previews = {**compiled.profiles}, {}
    listener = modes.AgentListener(facts.listener, modes.KILLABLE_FLAG in facts.flags)
    for pair in compiled.pairs:
        applied = ENFORCE_LOG if pair.mode == ENFORCE_LOG else ENFORCE
        other = compiled.profiles[pair.candidate, ENFORCE]
        digests[pair.candidate] = json_codec.digest(json_codec.dumps(other))
        beside = Beside(compiled.profiles[pair.profile, applied], other, pair.mode, listener)
        try:
            cost = prover.remembered(
                CandidateCost, beside.text, partial(beside.cost, prover.loader)
            )
        except ProfileError as error:
            raise PolicyError(
                f"the candidate {pair.candidate} cannot be looked at beside {pair.profile}: {error}"
            ) from None
        form = form_of(pair.mode, digests[pair.candidate])
        profiles[pair.profile, form] = beside.made(cost.left)
        previews[pair] = cost
    policy: CompiledPolicy = {**compiled.policy, "candidates": digests}
    return replace(compiled, policy=policy, profiles=profiles, previews=previews)


class Beside:
    """A compiled profile, and a candidate beside it in a mode."""

    def __init__(
        self,
        current: CompiledProfile,
        candidate: CompiledProfile,
        mode: str,
        listener: modes.AgentListener = modes.NOWHERE,
    ) -> None:
        self._both = both = current, candidate
        own, other = (one["block"].get("architectures") or () for one in both)
        self._kills = {
            f"any call through {abis.of_oci(abi).name}" for abi in own if abi not in other
        }
        self._preview: Callable[[frozenset[str]], Preview] = cache(
            partial(candidate_mode.previewed, *both, mode, listener)
        )

    def made(self, left: Collection[str]) -> CompiledProfile:
        """Return the profile to inject. Raises ProfileError."""
        preview = self._preview(frozenset(left))
        return {**preview.profile, "unpreviewed": preview.left}

    @property
    def text(self) -> bytes:
        """What its proof depends on beside the runtime. Raises ProfileError."""
        return json_codec.dumps([*self._both, self._preview(frozenset()).profile])

    def cost(self, loader: Loader) -> CandidateCost:
        """Return the calls that are denied more, and what the preview, proved, costs.

        A call is not previewed where the profile in force asks an agent or a tracer. Raises
        ProfileError.
        """
        uncounted = ""
        try:
            found = profile_difference.find(*self._both, loader, most=_MOST_RULES)
            changes = [one.call for one in found]
        except ProfileError as error:  # it only counts
            changes, uncounted = [], str(error)
        denials = [one for one in changes if denies(one.found) and not denies(one.expected)]
        denied = {one.syscall for one in denials}
        calls = sorted(one for one in denied if not one.startswith("#"))
        asks = {one.syscall for one in denials if one.expected not in libseccomp_proof.LET_THROUGH}
        left = self._kills | (self._asking() if uncounted else asks)
        while True:
            preview = self._preview(frozenset(left))
            tried = self._tried(preview, loader)
            if not tried.wrong:
                lengths, unnamed = (tried.before, tried.after), len(denied) > len(calls)
                return CandidateCost(calls, preview.left, *lengths, unnamed, uncounted)
            some, new = {*preview.calls}, tried.wrong - {*preview.left}
            if not (some or new):
                raise ProfileError("libseccomp makes something else of it")
            more = new if new <= some else new | (some & _MULTIPLEXED)  # wrong by way of those
            left |= {*preview.left} | (more or some)

    def _asking(self) -> set[str]:
        """Return each call of which the profile in force may ask an agent or a tracer."""
        asking = NOTIFY, TRACE
        rules = [one["rule"] for one in self._both[0]["rules"]]
        every = {"any other call"} if self._both[0]["block"]["defaultAction"] in asking else set()
        return every.union(*(one["names"] for one in rules if one["action"] in asking))

    def _tried(self, preview: Preview, loader: Loader) -> Compared:
        """Return the comparison for a usual container; what is wrong may be so for any."""
        found: list[Compared] = []
        try:
            named = profile_difference.deciding(loader, *self._both, preview.profile, stub=False)
            some = {*preview.calls, *preview.left, *MULTIPLEXED, *(n for n in named if named[n])}
            for held in policy_proof.capabilities(preview.calls, named):
                own, other, both = (resolve(one, held) for one in (*self._both, preview.profile))
                only = some if found else None
                if len(found) >= _FOR_EVERY_CALL:  # of others these capabilities change nothing
                    only = {*MULTIPLEXED, *(n for n in some if named.get(n, set()) >= held)}
                found.append(
                    libseccomp_proof.compare((own, other, both), loader, preview.left, only)
                )
        except ProfileError:  # rules on socketcall may contradict each other
            if not (calls := {*preview.calls}):
                raise
            return libseccomp_proof.Compared(calls & _MULTIPLEXED or calls, 0, 0)
        return found[0]._replace(wrong=set().union(*(one.wrong for one in found)))
