"""Deciding again for an existing container, by its config.json as the engine wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath import json_ambiguity, json_codec, main, policy_file
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.block_equivalence import AS_APPLIED
from runc_wrap.hotpath.create_facts import Call, bounding, seccomp_of
from runc_wrap.hotpath.errors import Refusal, quoted
from runc_wrap.ledger import whole_ledger
from runc_wrap.node.container_state import bundle_config, kept_defaults

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from runc_wrap.hotpath.compiled_policy import CompiledPolicy, CompiledProfile
    from runc_wrap.hotpath.decision import Decision
    from runc_wrap.hotpath.main import Outcome, ProfileOf
    from runc_wrap.ledger.decision_record import Record
    from runc_wrap.node.container_state.container_status import Entry
    from runc_wrap.node.container_state.kept_defaults import Made
    from runc_wrap.policy.policy_compiler import Compiled

Json = dict[str, Any]
DEFAULT_HANDLER = "runc-wrap"


@dataclass(frozen=True)
class DecisionChange:
    """A running container about which a policy would decide differently.

    `then` is None if the policy would refuse it, and `refused` says why. If action, mode and
    profile are the same, only the filter would differ. `block` is what it would get, {} for none.
    """

    entry: Entry
    then: Decision | None
    refused: str = ""
    block: Json = field(default_factory=dict)


def last_of(directory: Path, place: str) -> Record | None:
    """Return the last record of the container with this bundle. Raises OSError."""
    found = [one for one in whole_ledger.read(directory).records.values() if one.bundle == place]
    return max(found, key=lambda one: one.time or "", default=None)


def decide_now(  # noqa: PLR0913 - what decides
    policy: CompiledPolicy,
    bundle: str,
    record: Record | None,
    profile_of: ProfileOf = policy_file.load_profile,
    *,
    text: bytes | None = None,
    handler: str | None = None,
) -> Outcome:
    """Decide for a container, by default by the policy in force. Raises Refusal.

    `text` is that of its config.json, which is read if it is not given, without our changes if
    there is a record. `handler` is the name that the runtime is called by, if not the recorded one.
    """
    given = bundle_config.text(bundle) if text is None else text
    text = as_it_came(given, record, lambda name: profile_of(policy, name, AS_APPLIED))
    if handler is None:
        handler = (record.handler if record else None) or DEFAULT_HANDLER
    name = record.id if record else bundle.rpartition("/")[2]
    invocation = Invocation("create", {"bundle": bundle}, name)
    call = Call(invocation, policy["runtime"]["kind"], handler, main.own_capabilities)
    return main.consider(text, call, policy, profile_of)


def as_it_came(text: bytes, record: Record | None, made: Made) -> bytes:
    """Return a config's text without our changes: with the block that the engine wrote, if any.

    Of an engine's default that was replaced only the name is recorded; it is resolved again from
    the profile that `made` returns. Raises Refusal if that is no longer known.
    """
    if record is None or not (record.action == "inject" or record.replaced):
        return text
    config = json_ambiguity.parsed(text)
    block = seccomp_of(config)
    if (json_codec.digest(json_codec.dumps(block)) if block else None) != record.digest:
        return text
    linux = {name: value for name, value in config["linux"].items() if name != "seccomp"}
    if record.replaced:
        linux["seccomp"] = kept_defaults.block_of(record.replaced, bounding(config), made)
    return json_codec.dumps({**config, "linux": linux})


def changes(compiled: Compiled, entries: Iterable[Entry]) -> Iterator[DecisionChange]:
    """Yield the running containers about which this compiled policy would decide differently.

    Pause containers are left out: each pod has one, which its owner did not write.
    """
    for entry in entries:
        record = entry.record
        if record is None or not record.bundle or record.is_sandbox:
            continue
        try:
            outcome = _again(compiled, record)
        except Refusal as refusal:
            yield DecisionChange(entry, None, str(refusal))
            continue
        then, block = outcome.decision, outcome.block
        found = json_codec.digest(json_codec.dumps(block)) if block else None
        words = (then.action, then.mode, then.profile)
        if (*words, found) != (record.action, record.mode, record.profile, record.digest):
            yield DecisionChange(entry, then, block=block)


def _again(compiled: Compiled, record: Record) -> Outcome:
    """Decide by a policy that is not in force. Raises Refusal."""

    def profile_of(_: CompiledPolicy, name: str, mode: str) -> CompiledProfile:
        applied = compiled.as_applied.get(name) if mode == AS_APPLIED else None
        profile = applied or compiled.profiles.get((name, mode))
        if profile is None:
            raise Refusal(f"the profile {quoted(name)} no longer exists")
        return profile

    return decide_now(compiled.policy, record.bundle or "", record, profile_of)
