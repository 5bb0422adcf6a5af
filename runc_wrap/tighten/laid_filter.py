"""Which filter is laid on a container: the overlay as a filter of its own, or a profile.

The profile is the one that the policy decides, or a named one.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap.apply import profile_operand
from runc_wrap.failure import Failure
from runc_wrap.filters import filter_comparison, libseccomp_proof
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.hotpath import json_ambiguity, json_codec, overlay, policy_file
from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.hotpath.create_facts import bounding
from runc_wrap.hotpath.decision import AS_STRICT
from runc_wrap.hotpath.errors import quoted
from runc_wrap.hotpath.json_codec import digest
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.node import runtime_loader
from runc_wrap.node.container_state import bundle_config, redecide
from runc_wrap.profiles import abis, block_merge, platform, syscall_names
from runc_wrap.profiles.mode_profiles.candidate_mode import PASSING
from runc_wrap.profiles.profile_compiler import compile_profile

if TYPE_CHECKING:
    from collections.abc import Hashable

    from runc_wrap.filters.libseccomp_proof import Miscompiled
    from runc_wrap.hotpath.compiled_policy import Overlay
    from runc_wrap.hotpath.main import Outcome
    from runc_wrap.node.container_state.container_status import Entry
    from runc_wrap.node.paths import Places

Json = dict[str, Any]
OVERLAY = "overlay"
_SOCKETCALL = "socketcall"


class LaidFilter(NamedTuple):
    """A block by its name, and the filter (struct sock_filter[]) that a runtime makes of it.

    `over` is the compiled overlay if that is what the block denies.
    """

    name: str
    block: Json
    program: bytes
    over: Overlay | None = None

    @property
    def digest(self) -> str:
        """The filter's name in the ledger and in var/tightened."""
        return digest(self.program)

    @property
    def logs(self) -> bool:
        """Whether the block has the kernel log what it denies."""
        return "SECCOMP_FILTER_FLAG_LOG" in (self.block.get("flags") or ())

    def merged_with(self, block: Json | None) -> Json:
        """Return one block that does what another and this do. Raises ProfileError, Refusal."""
        if not block:
            return self.block
        if self.over:
            return overlay.with_overlay(block, self.over)
        return block_merge.merged(block, self.block)


def of_overlay(over: Overlay) -> LaidFilter:
    """Return the overlay's denials, which let all else through, on every ABI that may run here.

    socketcall passes, unless the overlay names it: its family is in memory, and 32-bit C libraries
    make all sockets by it. A block can only say that by logging it. Raises ProfileError.
    """
    listed = [abi.oci for abi in abis.runnable(syscall_names.native())]
    passes = bool(over["deny_sockets"]) and _SOCKETCALL not in over["deny"]
    rules = [{"names": [_SOCKETCALL], "action": "SCMP_ACT_LOG"}] if passes else []
    nothing = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": listed, "syscalls": rules}
    block = overlay.with_overlay(nothing, over)
    program = filter_comparison.installed(block, Loader("crun"))
    before = filter_comparison.passing(_SOCKETCALL) if passes else b""
    return LaidFilter(OVERLAY, block, before + program, over)


def of_block(name: str, block: Json, loader: Loader) -> LaidFilter:
    """Return a resolved profile. Raises ProfileError."""
    return LaidFilter(name, block, filter_comparison.installed(block, loader))


class FilterChoice:
    """Chooses for each container. `loader` returns how a kind of runtime loads profiles.

    `runtime` is the file name of the real one.

    `profile` is None for the overlay, "" for what the policy in force decides; `is_named`: the
    containers were named. Raises Refusal, and Failure if no overlay is in force.
    """

    def __init__(self, places: Places, profile: str | None, *, is_named: bool) -> None:
        self._places, self._profile, self._is_named = places, profile, is_named
        self.loader = cache(partial(runtime_loader.of, places.prefix))
        self._policy = policy_file.load(str(places.prefix))
        self.runtime = self._policy["runtime"]["path"].rpartition("/")[2]
        over = self._policy["overlay"]
        if profile is None and not over:
            raise Failure(
                "the policy in force has no overlay; write one into config.toml, run "
                "`runc-wrapctl apply`, then this again"
            )
        self._overlay = of_overlay(over) if profile is None and over else None
        self._proved: dict[Hashable, Miscompiled | None] = {}

    def of(self, entry: Entry) -> LaidFilter | None:
        """Return the filter, None for a container that the policy leaves as it is.

        The overlay is for containers that have it when they are created; and for those whose name
        was given. Raises Refusal, ProfileError, OSError and Failure.
        """
        if self._overlay:
            return self._overlay if self._is_named or self._gets_overlay(entry) else None
        found = self._of_name(entry, self._profile) if self._profile else self._decided(entry)
        if found and "SCMP_ACT_NOTIFY" in _actions(found[1]):
            raise Failure(
                f"the profile {quoted(found[0])} asks a listener, which a runtime gives only to a "
                "container that it creates: recreate the container"
            )
        return found and of_block(*found, self.loader(entry.container.kind))

    def _gets_overlay(self, entry: Entry) -> bool:
        """Tell whether a container would have the overlay if it were created now."""
        now, over = self._now(entry), self._policy["overlay"]
        is_meant = now.decision.action == "inject" or bool(over and over["existing"])
        return bool(now.block) and is_meant

    def _decided(self, entry: Entry) -> tuple[str, Json] | None:
        outcome = self._now(entry)
        decision = outcome.decision
        if decision.action != "inject" and self._is_named:
            raise Failure("the policy gives it no profile; choose one: --named NAME")
        if decision.action != "inject":
            return None
        if decision.mode not in AS_STRICT:
            raise Failure(
                f"the policy decides {decision.mode} for it, which lets through what its profile "
                "denies: laid on what runs, it would confine nothing"
            )
        return decision.profile or "", outcome.block

    def _now(self, entry: Entry) -> Outcome:
        return redecide.decide_now(self._policy, entry.container.bundle or "", entry.record)

    def _of_name(self, entry: Entry, name: str) -> tuple[str, Json]:
        engine = (entry.record.engine if entry.record else None) or UNKNOWN
        source = profile_operand.profile(self._places, name, engine).profile
        compiled = compile_profile(source, arch=platform.goarch(), kernel=platform.kernel())
        config = json_ambiguity.parsed(bundle_config.text(entry.container.bundle or ""))
        block = resolve(compiled, bounding(config))
        if _actions(block) <= {*PASSING}:
            raise Failure(
                f"the profile {quoted(name)} only logs or lets through: it denies nothing"
            )
        denied = _denied(block)
        known = syscall_names.known_to_libseccomp(denied)
        if known is not None and (unknown := sorted(denied - known)):
            raise Failure(
                f"the profile {quoted(name)} denies calls that libseccomp does not know, so it "
                f"would not deny them: {quoted(', '.join(unknown))}; correct the spelling"
            )
        loader = self.loader(entry.container.kind)
        for wrong in libseccomp_proof.wrong(json_codec.dumps(block), loader, self._proved):
            if not wrong.is_tolerable:
                raise Failure(f"the profile {quoted(name)} is compiled wrongly: {wrong}")
        return name, block


def _denied(block: Json) -> set[str]:
    """Return the calls that a block denies by name, none if it denies all others, too."""
    rules = block.get("syscalls") or () if block["defaultAction"] in PASSING else ()
    return {name for rule in rules if rule["action"] not in PASSING for name in rule["names"]}


def _actions(block: Json) -> set[str]:
    return {block["defaultAction"], *(rule["action"] for rule in block.get("syscalls") or ())}
