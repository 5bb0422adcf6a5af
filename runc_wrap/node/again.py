"""Deciding again for a container that was decided before: by its bundle, as the engine wrote it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runc_wrap.evidence import ledger
from runc_wrap.hotpath import bundle, caller, codec, main
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.decide import Decision, Node, checked_annotations, decide
from runc_wrap.hotpath.digest import digest
from runc_wrap.hotpath.failure import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from runc_wrap.evidence.ledger import Record
    from runc_wrap.node.status import Entry

Json = dict[str, Any]
DEFAULT_HANDLER = "runc-wrap"


@dataclass(frozen=True)
class Change:
    """A running container that a policy would decide otherwise than it was decided.

    `then` is None where the policy would refuse it, and `refused` says why.
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
    directory, _, _ = path.rpartition("/")
    config = as_it_came(main.parsed(bundle.read(path).text), record)
    name = record.id if record else directory.rpartition("/")[2]
    called = Invocation("create", {"bundle": directory}, name)
    who = caller.identify(called, checked_annotations(config), handler)
    node = Node(rules["runtime"]["kind"], main.own_capabilities, time.time())
    return decide(config, who, rules, node)


def as_it_came(config: Json, record: Record | None) -> Json:
    """Return the config without the block, if it is the one that we put in."""
    block = main.existing_block(config)
    if record is None or record.action != "inject" or digest(codec.dumps(block)) != record.digest:
        return config
    return {**config, "linux": {k: v for k, v in config["linux"].items() if k != "seccomp"}}


def changes(rules: Json, entries: Iterable[Entry]) -> Iterator[Change]:
    """Yield the running containers that this compiled policy would decide otherwise."""
    for entry in entries:
        record = entry.record
        if record is None or not record.bundle:
            continue
        handler = record.line.get("handler") or DEFAULT_HANDLER
        try:
            then = decide_again(rules, f"{record.bundle}/config.json", record, str(handler))
        except Refusal as refusal:
            yield Change(entry, None, str(refusal))
            continue
        if (then.action, then.mode, then.profile) != (record.action, record.mode, record.profile):
            yield Change(entry, then)
