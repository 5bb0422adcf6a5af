"""A container's decided profile under enforce, as its runtime would load it.

The ledger has the block's digest but not the bounding capabilities that it was resolved for. They
are read from the bundle while it exists; otherwise the sets that engines grant are tried, and the
digest, of this release or of the previous one, shows which it was. The block of enforce is then
resolved for the same capabilities.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import Any

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate.bpf_arguments import Interest
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.host import runtime_state
from runc_wrap.hotpath import config_file, json_codec, policy_file
from runc_wrap.hotpath.compiled_policy import CompiledPolicy, CompiledProfile, CompiledRule
from runc_wrap.hotpath.create_facts import bounding
from runc_wrap.hotpath.decision import ENFORCE
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.json_codec import digest
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.ledger.decision_record import Record
from runc_wrap.node import runtime_loader
from runc_wrap.profiles.abis import Abi
from runc_wrap.profiles.runtime_spec_names import USUAL
from runc_wrap.profiles.source_profile import Profile, ProfileError

Json = dict[str, Any]
Capabilities = frozenset[str]

# of CRI-O and Podman (their present defaults)
_ELEVEN = USUAL - {"CAP_AUDIT_WRITE", "CAP_MKNOD", "CAP_NET_RAW"}
_SETS = (USUAL, _ELEVEN, frozenset[str]())


class Enforced(filter_comparison.Expectation):
    """A profile as loaded: an outcomes.Filter. Raises ProfileError if it cannot be loaded."""

    def __init__(self, block: Json, loader: Loader) -> None:
        super().__init__(block, loader)
        self.block = block
        self._loader = loader

    def interest(self, abi: Abi, number: int) -> Interest:
        """Return the values of arguments on which the outcome depends."""
        programs = [self.program] if self.simulation.is_uncertain(abi, number) else []
        return filter_comparison.to_try(programs, [self.simulation], abi, number)

    def with_block(self, block: Json) -> "Enforced":
        """Return another block as the same runtime loads it. Raises ProfileError."""
        return Enforced(block, self._loader)


class Profiles:
    """Finds a record's profile under enforce; caches it, since a node has few profiles."""

    def __init__(self, prefix: str | os.PathLike[str]) -> None:
        self._prefix = os.fspath(prefix)
        self._policy: CompiledPolicy | None = None
        self._enforced: dict[tuple[str, str], Enforced] = {}
        self._loader = cache(partial(runtime_loader.of, self._prefix))
        self._remembered: dict[tuple[str | None, ...], Enforced | str] = {}

    def of(self, record: Record) -> Enforced | str:
        """Return the profile under enforce, or a sentence that says why it is unknown."""
        if not record.profile or not record.mode:
            return "The ledger does not say which profile was decided."
        key = (record.profile, record.form, record.digest or record.id, record.root)
        if key not in self._remembered:
            self._remembered[key] = self._named(record.profile, record)
        return self._remembered[key]

    def unpreviewed(self, _: Record) -> Sequence[str]:
        """Return the calls that a candidate would deny without a trace."""
        return ()

    def candidate_of(self, record: Record) -> tuple[Enforced | str, Sequence[str]]:
        """Return what `of` does of the candidate beside it, and the calls not previewed."""
        found = self._named(str(record.candidate), record)
        try:
            policy = self._policy = self._policy or policy_file.load(self._prefix)
            made = policy_file.load_profile(policy, str(record.profile), record.form)
        except Refusal:
            return found, ("any call",)
        return found, made.get("unpreviewed", [])

    def _named(self, name: str, record: Record) -> Enforced | str:
        """Return a profile as a record's container would get it, or why it is unknown."""
        try:
            policy = self._policy = self._policy or policy_file.load(self._prefix)
            enforced = _under_enforce(policy, name)
            block = resolve(enforced, _capabilities(policy, record, enforced))
            key = digest(json_codec.dumps(block)), self._kind(record)
            if key not in self._enforced:
                self._enforced[key] = Enforced(block, self._loader(key[1]))
            return self._enforced[key]
        except (Refusal, ProfileError) as error:
            return str(error)

    def _kind(self, record: Record) -> str:
        """Return the runtime by the container's state, else the policy's present one."""
        place = runtime_state.directory((record.root or "", record.id))
        if place:
            return runtime_state.kind(place) or "crun"
        return self._policy["runtime"]["kind"] if self._policy else "runc"


def _under_enforce(policy: CompiledPolicy, name: str) -> CompiledProfile:
    """Return a profile as compiled for enforce. Raises Refusal.

    The policy may have none that was decided before the engine's upgrade: its name says all.
    """
    try:
        return policy_file.load_profile(policy, name, ENFORCE)
    except Refusal as refusal:
        from runc_wrap.policy import named_profiles  # noqa: PLC0415 - rarely needed, and expensive

        try:
            return compiled(named_profiles.loaded(name, {}).profile)
        except ProfileError:
            raise refusal from None


def compiled(profile: Profile) -> CompiledProfile:
    """Return a profile's form of enforce here, as `apply` makes it. Raises ProfileError."""
    from runc_wrap.profiles import platform  # noqa: PLC0415 - likewise
    from runc_wrap.profiles.arguments import narrowed_comparisons  # noqa: PLC0415
    from runc_wrap.profiles.profile_compiler import compile_profile  # noqa: PLC0415

    made = narrowed_comparisons.narrowed(profile).profile
    return compile_profile(made, arch=platform.goarch(), kernel=platform.kernel())


def _capabilities(
    policy: CompiledPolicy, record: Record, enforced: CompiledProfile
) -> Capabilities:
    """Return the capabilities for which the profile has the recorded digest.

    If no candidate gives it, as the profile has changed, return the bundle's, else none: with too
    many, calls that were denied to this container would seem to be let through.
    """
    own = bounding_of(record)
    try:
        compiled = policy_file.load_profile(policy, str(record.profile), record.form)
    except Refusal:  # the mode is no longer in use
        return own or frozenset()
    for one in _candidates(own, [*enforced["rules"], *compiled["rules"]]):
        if digest(json_codec.dumps(resolve(compiled, one))) == record.digest:
            return one
    return own or frozenset()


def _candidates(own: Capabilities | None, rules: list[CompiledRule]) -> Iterator[Capabilities]:
    """Yield sets of capabilities: the bundle's, usual ones, these with one or two more, all."""
    if own is not None:
        yield own
    yield from _SETS
    asked = sorted({cap for one in rules for cap in (*one.get("all", ()), *one.get("none", ()))})
    for place, one in enumerate(asked):
        yield USUAL | {one}
        yield from (USUAL | {one, other} for other in asked[place + 1 :])
        yield frozenset((one,))
    yield frozenset(CAPABILITIES)


def bounding_of(record: Record) -> Capabilities | None:
    """Return a container's bounding capabilities, None if its bundle is gone or unreadable."""
    if not record.bundle:
        return None
    try:
        config = json_codec.loads(config_file.read(f"{record.bundle}/config.json").text)
    except (Refusal, json_codec.Unreadable):
        return None
    return bounding(config) if isinstance(config, dict) else None
