"""Which containers keep a profile that is their engine's default, recognized by their bundles.

A create compares profiles only if the policy adopts engines' defaults, and records the result. Here
the same comparison is made afterwards, for the containers that kept a profile of their own.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from runc_wrap.hotpath import block_equivalence, json_codec, policy_file
from runc_wrap.hotpath.compiled_policy import CompiledPolicy, CompiledProfile
from runc_wrap.hotpath.create_facts import bounding, seccomp_of
from runc_wrap.hotpath.decision import ENGINE_DEFAULT, OWN_PROFILE
from runc_wrap.hotpath.errors import Refusal, quoted
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.ledger.decision_record import Record
from runc_wrap.node import installed_programs
from runc_wrap.node.container_state import bundle_config, kept_default_sentence
from runc_wrap.node.container_state.container_status import Node
from runc_wrap.node.paths import Places
from runc_wrap.policy import named_profiles, policy_store
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.profiles import platform
from runc_wrap.profiles.json_profiles import profile_files
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import ProfileError

Made = Callable[[str], CompiledProfile]

Json = dict[str, Any]


class Recognizer:
    """Recognizes engines' default profiles.

    `made` returns the compiled profile of a name as its engine applies it; it may raise Refusal.
    """

    def __init__(self, defaults: Mapping[str, list[str]], made: Made) -> None:
        self._defaults = defaults
        self._made = made

    def of_record(self, record: Record) -> str:
        """Return the name of the engine's default that a container keeps, "" if it keeps none.

        The bundle tells, while it exists.
        """
        if record.action != "keep" or record.declared not in (OWN_PROFILE, ENGINE_DEFAULT):
            return ""
        try:
            config = json_codec.loads(bundle_config.text(record.bundle or ""))
            block = seccomp_of(config) if isinstance(config, dict) else {}
        except (Refusal, json_codec.Unreadable):
            return ""
        return self.of_block(block, record.engine, bounding(config)) if block else ""

    def of_block(self, block: Json, engine: str | None, held: frozenset[str]) -> str:
        """Return the name of the engine's default that is this block, "" for none.

        `held` is the container's bounding set.
        """
        for name in self._defaults.get(engine or "", ()):
            try:
                compiled = self._made(name)
            except Refusal:  # policy_in_force reports damaged files
                continue
            if block_equivalence.is_same(block, resolve(compiled, held)):
                return name
        return ""


def recognizer(places: Places) -> Recognizer:
    """Return a recognizer for the policy in force; it recognizes nothing without one."""
    policy = installed_programs.policy_in_force(places.prefix)
    if policy is None:
        return Recognizer({}, _of_table)
    made = partial(policy_file.load_profile, policy, mode=block_equivalence.AS_APPLIED)
    return Recognizer(policy_store.engine_defaults(places.current), made)


def of_compiled(compiled: Compiled) -> Recognizer:
    """Return a recognizer for a policy that may not be in force yet."""
    return Recognizer(compiled.engine_defaults, compiled.as_applied.__getitem__)


def block_of(name: str, held: frozenset[str], made: Made) -> Json:
    """Return the block of an engine's default for a bounding set. Raises Refusal.

    If the policy no longer has it, as the engine was upgraded, the table may.
    """
    try:
        return resolve(made(name), held)
    except Refusal:
        return resolve(_of_table(name), held)


def _of_table(name: str) -> CompiledProfile:
    try:
        profile = named_profiles.loaded(name, {}, profile_files.system()).profile
        return compile_profile(profile, arch=platform.goarch(), kernel=platform.kernel())
    except ProfileError as error:
        what = f"the engine's default profile {quoted(name)}, which was replaced"
        raise Refusal(f"{what}, is no longer known: {error}") from None


def mark(node: Node, places: Places) -> Node:
    """Return the node with the engine's default that each of its containers keeps.

    Users' own containers are left out: their bundles are theirs.
    """
    known = recognizer(places)
    entries = [
        replace(one, engine_default=known.of_record(one.record)) if one.record else one
        for one in node.entries
    ]
    return replace(node, entries=entries)


def counted(records: Iterable[Record], known: Recognizer) -> Counter[str]:
    """Return how many existing containers keep each engine's default, {its name: number}.

    Engines give their default to every pause container, whatever the pod asks: those say nothing.
    """
    of_workloads = (one for one in records if not one.is_sandbox)
    existing = (one for one in of_workloads if os.path.lexists(f"{one.root or ''}/{one.id}"))
    return Counter(filter(None, map(known.of_record, existing)))


def sentence(found: Mapping[str, int], policy: CompiledPolicy) -> str:
    """Return what to tell the owner about the containers that keep an engine's default."""
    return kept_default_sentence.of(found, adopts=adopts(policy))


def adopts(policy: CompiledPolicy) -> bool:
    """Return whether the policy decides about containers that bring their engine's default."""
    return "adoption" in policy
