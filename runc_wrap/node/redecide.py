"""Deciding again for a container that was decided before: by its bundle, as the engine wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath import config_file, json_ambiguity, json_codec, main, policy_file
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.create_facts import Call, seccomp_of
from runc_wrap.hotpath.errors import Refusal, quoted
from runc_wrap.hotpath.json_codec import digest
from runc_wrap.ledger import reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from runc_wrap.hotpath.decision import Decision
    from runc_wrap.hotpath.main import Outcome, ProfileOf
    from runc_wrap.ledger.record import Record
    from runc_wrap.node.status import Entry
    from runc_wrap.policy.policy_compiler import Compiled

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
    found = [one for one in reader.read(directory).records.values() if one.bundle == place]
    return max(found, key=lambda one: one.time or "", default=None)


def decide_again(rules: Json, path: str, record: Record | None, handler: str) -> Decision:
    """Decide by this compiled policy for a config.json as it was before us. Raises Refusal.

    Without a record the config is taken as it is.
    """
    return _considered(rules, path, record, handler, policy_file.load_profile).decision


def _considered(
    rules: Json, path: str, record: Record | None, handler: str, profile_of: ProfileOf
) -> Outcome:
    directory, _, _ = path.rpartition("/")
    text = as_it_came(config_file.read(path).text, record)
    name = record.id if record else directory.rpartition("/")[2]
    invocation = Invocation("create", {"bundle": directory}, name)
    call = Call(invocation, rules["runtime"]["kind"], handler, main.own_capabilities)
    return main.consider(text, call, rules, profile_of)


def as_it_came(text: bytes, record: Record | None) -> bytes:
    """Return a config's text without the block, if it is the one that we put in."""
    if record is None or record.action != "inject":
        return text
    config = json_ambiguity.parsed(text)
    if digest(json_codec.dumps(seccomp_of(config))) != record.digest:
        return text
    linux = {name: value for name, value in config["linux"].items() if name != "seccomp"}
    return json_codec.dumps({**config, "linux": linux})


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
    handler = record.handler or DEFAULT_HANDLER
    path = f"{record.bundle}/config.json"

    def profile_of(_: Json, name: str, mode: str) -> Json:
        profile = compiled.profiles.get((name, mode))
        if profile is None:
            raise Refusal(f"the profile {quoted(name)} is not there any more")
        return profile

    then = _considered(compiled.policy, path, record, handler, profile_of)
    return then.decision, digest(json_codec.dumps(then.block)) if then.block else None
