"""Deciding again for a container that was decided before: by its bundle, as the engine wrote it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runc_wrap.evidence import ledger
from runc_wrap.hotpath import bundle, caller, codec, main, names
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.decide import Decision, Node, checked_annotations, decide
from runc_wrap.hotpath.digest import digest
from runc_wrap.hotpath.failure import Refusal, quoted
from runc_wrap.hotpath.privileged import bounding
from runc_wrap.hotpath.profile import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from runc_wrap.evidence.ledger import Record
    from runc_wrap.node.status import Entry
    from runc_wrap.policy.compiling import Compiled

Json = dict[str, Any]
DEFAULT_HANDLER = "runc-wrap"


@dataclass(frozen=True)
class Change:
    """A running container that a policy would decide otherwise than it was decided.

    `then` is None where the policy would refuse it, and `refused` says why. Where the words are
    the same, it is the filter that would be another.
    """

    entry: Entry
    then: Decision | None
    refused: str = ""


def last_of(directory: Path, place: str) -> Record | None:
    """Return the last record of the container with this bundle. Raises OSError."""
    found = [one for one in ledger.read(directory).records.values() if one.bundle == place]
    return max(found, key=lambda one: one.time or "", default=None)


def decide_again(rules: Json, path: str, record: Record | None, handler: str) -> Decision:
    """Decide by this compiled policy for a config.json as it was before us. Raises Refusal.

    Without a record the config is taken as it is. A profile that it would get is not looked up.
    """
    return _decided(rules, path, record, handler)[0]


def _decided(rules: Json, path: str, record: Record | None, handler: str) -> tuple[Decision, Json]:
    """Return the decision, and the config that it is for."""
    directory, _, _ = path.rpartition("/")
    config = as_it_came(names.parsed(bundle.read(path).text), record)
    name = record.id if record else directory.rpartition("/")[2]
    called = Invocation("create", {"bundle": directory}, name)
    who = caller.identify(called, checked_annotations(config), handler, rules["engine"])
    made_with = main.made_with(directory, who)
    node = Node(rules["runtime"]["kind"], main.own_capabilities, time.time(), made_with)
    return decide(config, who, rules, node), config


def as_it_came(config: Json, record: Record | None) -> Json:
    """Return the config without the block, if it is the one that we put in."""
    block = main.existing_block(config)
    if record is None or record.action != "inject" or digest(codec.dumps(block)) != record.digest:
        return config
    return {**config, "linux": {k: v for k, v in config["linux"].items() if k != "seccomp"}}


def changes(compiled: Compiled, entries: Iterable[Entry]) -> Iterator[Change]:
    """Yield the running containers that this compiled policy would decide otherwise."""
    for entry in entries:
        record = entry.record
        if record is None or not record.bundle:
            continue
        try:
            then, found = _again(compiled, record)
        except Refusal as refusal:
            yield Change(entry, None, str(refusal))
            continue
        words = (then.action, then.mode, then.profile)
        if (*words, found) != (record.action, record.mode, record.profile, record.digest):
            yield Change(entry, then)


def _again(compiled: Compiled, record: Record) -> tuple[Decision, str | None]:
    """Return what would be decided, and the digest of the block that it comes to."""
    handler = str(record.line.get("handler") or DEFAULT_HANDLER)
    path = f"{record.bundle}/config.json"
    then, config = _decided(compiled.policy, path, record, handler)
    block = _block(compiled, then, config)
    return then, digest(codec.dumps(block)) if block else None


def _block(compiled: Compiled, then: Decision, config: Json) -> Json:
    if then.action != "inject":
        return main.final_block(compiled.policy, config, then)
    profile = compiled.profiles.get((str(then.profile), str(then.mode)))
    if profile is None:
        raise Refusal(f"the profile {quoted(then.profile)} is not there any more")
    return resolve(profile, bounding(config))
