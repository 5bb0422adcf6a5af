"""Makes each profile that has a candidate beside it, and proves it before it is put in force."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations
from typing import TYPE_CHECKING

from runc_wrap.engines.capture.capture_run import USUAL
from runc_wrap.filters import candidate_proof
from runc_wrap.filters.evaluate.simulate import is_multiplexed
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.decision import ENFORCE, ENFORCE_LOG, form_of
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.hotpath.rule_algebra import calls_of
from runc_wrap.policy.candidate_settings import CandidateCost
from runc_wrap.policy.policy_errors import PolicyError
from runc_wrap.profiles import abis, syscalls
from runc_wrap.profiles.mode_profiles import candidate_mode, modes
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runc_wrap.apply.compiled_proof import Prover
    from runc_wrap.filters.candidate_proof import Compared
    from runc_wrap.filters.evaluate.runtime_load import Loader
    from runc_wrap.hotpath.compiled_policy import CompiledPolicy, CompiledProfile, CompiledRule
    from runc_wrap.policy.facts import Facts
    from runc_wrap.policy.policy_compiler import Compiled
    from runc_wrap.profiles.mode_profiles.candidate_mode import Preview

_MOST_SETS = 128  # of capabilities that are tried
SETS = (frozenset[str](), frozenset(CAPABILITIES))
MULTIPLEXERS = ("socketcall", "ipc")


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
            cost = prover.cost_of(beside.digest, beside.cost)
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
        self._both = current, candidate
        self._mode = mode
        self._listener = listener

    def _preview(self, left: Collection[str] = ()) -> Preview:
        return candidate_mode.previewed(*self._both, self._mode, self._listener, left)

    def made(self, left: Collection[str]) -> CompiledProfile:
        """Return the profile to inject. Raises ProfileError."""
        preview = self._preview(left)
        own, other = (one["block"].get("architectures") or () for one in self._both)
        kills = [f"any call through {abis.of_oci(abi).name}" for abi in own if abi not in other]
        return {**preview.profile, "unpreviewed": [*preview.left, *kills]}

    @property
    def digest(self) -> str:
        """What its proof depends on beside the runtime. Raises ProfileError."""
        return json_codec.digest(json_codec.dumps([*self._both, self._preview().profile]))

    def cost(self, loader: Loader) -> CandidateCost:
        """Return the calls that are looked at, proved, and what that costs. Raises ProfileError."""
        left: set[str] = set()
        while True:
            preview = self._preview(left)
            found, wrong = self._tried(preview, loader)
            new = wrong - left
            if found and not wrong:
                return CandidateCost(preview.calls, preview.left, found.before, found.after)
            if not preview.calls and not new:
                raise ProfileError("libseccomp makes something else of it")
            left |= {*preview.left, *wrong}
            if not new or wrong - {*preview.calls}:  # perhaps by way of socketcall or ipc
                left.update(preview.calls if not new else filter(_is_multiplexed, preview.calls))

    def _tried(self, preview: Preview, loader: Loader) -> tuple[Compared | None, set[str]]:
        """Return the comparison for a usual container, and the calls that are wrong for any."""
        try:
            found = [self._compared(preview, each, loader) for each in self._sets(preview)]
        except ProfileError:
            alone = {one for one in preview.calls if not self._is_loaded(preview, one, loader)}
            return None, alone or {*preview.calls}
        return found[0], set().union(*(one.wrong for one in found))

    def _compared(self, preview: Preview, held: frozenset[str], loader: Loader) -> Compared:
        blocks = [resolve(one, held) for one in (*self._both, preview.profile)]
        some = {n for one in self._both for e in one["rules"] if _caps(e) for n in calls_of(e)}
        only = None if held == USUAL else {*some, *preview.calls, *preview.left, *MULTIPLEXERS}
        return candidate_proof.compare(
            (blocks[0], blocks[1], blocks[2]), loader, preview.left, only
        )

    def _is_loaded(self, preview: Preview, call: str, loader: Loader) -> bool:
        """Tell whether a filter can be made in which only this call is looked at."""
        alone = self._preview([*preview.left, *(one for one in preview.calls if one != call)])
        try:
            for held in self._sets(alone):
                candidate_proof.Made(resolve(alone.profile, held), loader)
        except ProfileError:
            return False
        return True

    def _sets(self, preview: Preview) -> list[frozenset[str]]:
        """Return the sets of capabilities to try, the usual one first. Raises ProfileError."""
        found = dict.fromkeys([USUAL, *SETS])
        for call in preview.calls:
            own = {
                c for p in self._both for e in p["rules"] if call in calls_of(e) for c in _caps(e)
            }
            found |= dict.fromkeys(map(frozenset, _subsets(sorted(own))))
        if len(found) > _MOST_SETS:
            raise ProfileError("the rules of its calls name too many capabilities; write fewer")
        return list(found)


def _subsets(names: list[str]) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))


def _caps(entry: CompiledRule) -> tuple[str, ...]:
    return (*entry.get("all", ()), *entry.get("none", ()))


def _is_multiplexed(call: str) -> bool:
    return any(is_multiplexed(abi, call) for abi in abis.runnable(syscalls.native()))
