"""Which filter is laid on a container: the overlay, the decided profile, or a named one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.apply import profile_operand
from runc_wrap.failure import Failure
from runc_wrap.hotpath import json_ambiguity, policy_file
from runc_wrap.hotpath.create_facts import bounding
from runc_wrap.hotpath.decision import AS_STRICT
from runc_wrap.hotpath.errors import quoted
from runc_wrap.hotpath.identity import UNKNOWN
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.node import runtime_loader
from runc_wrap.node.container_state import bundle_config, redecide
from runc_wrap.profiles import platform
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.tighten import laid_filter

if TYPE_CHECKING:
    from runc_wrap.filters.evaluate.runtime_load import Loader
    from runc_wrap.hotpath.main import Outcome
    from runc_wrap.hotpath.resolve import Json
    from runc_wrap.node.container_state.node_status import Entry
    from runc_wrap.node.paths import Places
    from runc_wrap.tighten.laid_filter import LaidFilter


class FilterChoice:
    """Chooses for each container; caches, as a node has few different filters.

    `profile` is None for the overlay, "" for what the policy in force decides. Raises Refusal, and
    Failure if no overlay is in force.
    """

    def __init__(self, places: Places, profile: str | None) -> None:
        self._places = places
        self._profile = profile
        self._policy = policy_file.load(str(places.prefix))
        self._loaders: dict[str, Loader] = {}
        self._made: dict[str, LaidFilter] = {}
        over = self._policy["overlay"]
        if profile is None and not over:
            raise Failure(
                "the policy in force has no overlay; write one into config.toml, run "
                "`runc-wrapctl apply`, then this again"
            )
        self._overlay = laid_filter.of_overlay(over) if profile is None and over else None

    def loader(self, entry: Entry) -> Loader:
        """Return how a container's runtime loads profiles."""
        kind = entry.container.kind
        if kind not in self._loaders:
            self._loaders[kind] = runtime_loader.of(self._places.prefix, kind)
        return self._loaders[kind]

    def of(self, entry: Entry, *, is_named: bool = False) -> LaidFilter | None:
        """Return the filter, None for a container that the policy leaves as it is.

        The overlay is for containers that have it when they are created; and for those whose name
        was given. Raises Refusal, ProfileError, OSError and Failure.
        """
        if self._overlay:
            return self._overlay if is_named or self._now(entry).block else None
        found = self._named(entry) if self._profile else self._decided(entry)
        if found is None:
            return None
        name, block = found
        key = f"{entry.container.kind} {name} {block!r}"
        if key not in self._made:
            self._made[key] = laid_filter.of_block(name, block, self.loader(entry))
        return self._made[key]

    def _decided(self, entry: Entry) -> tuple[str, Json] | None:
        outcome = self._now(entry)
        decision = outcome.decision
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

    def _named(self, entry: Entry) -> tuple[str, Json]:
        name = self._profile or ""
        engine = (entry.record.engine if entry.record else None) or UNKNOWN
        source = profile_operand.plain(profile_operand.profile(self._places, name, engine))
        compiled = compile_profile(source, arch=platform.goarch(), kernel=platform.kernel())
        config = json_ambiguity.parsed(bundle_config.text(entry.container.bundle or ""))
        block = resolve(compiled, bounding(config))
        if not _denies(block):
            raise Failure(
                f"the profile {quoted(name)} only logs or lets through: it denies nothing"
            )
        return name, block


def _denies(block: Json) -> bool:
    """Tell whether a block denies anything."""
    found = (block["defaultAction"], *(rule["action"] for rule in block.get("syscalls") or ()))
    return not {*found} <= {"SCMP_ACT_ALLOW", "SCMP_ACT_LOG"}
