"""An engine's own default profile as captured from it: file, derivation, comparison.

An engine resolves its default for the capabilities of one container. From the blocks for no
capability, for single ones and for several, the condition of each rule follows; the result is a
profile in moby's format, and it must give every captured block again.

Blocks (the OCI runtime-spec's, as profile_parser accepts them) are compared call by call, whatever
the order and grouping of their rules. An error number that is left out is EPERM, as for runc and
crun (runc:libcontainer/seccomp, crun:src/libcrun/seccomp.c).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from runc_wrap.documents.reader import DocumentError, read, record, written
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import actions
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import Kernel, Profile, ProfileError

Json = dict[str, Any]
Caps = frozenset[str]
Key = tuple[str, int]  # a rule's text, and which one of those with this text it is in its block

MARK = "@captured"  # in the profile's name: containerd@captured-1f2e3d4c
_BYTES = 4  # of the digest in a name
_WHOLE = ("listenerPath", "listenerMetadata")
_SETS = ("architectures", "flags")


@record
class CapturedProfile:
    """A captured default, as in its file: `profile` is in moby's format, for `arch` and `kernel`.

    `version` is the engine's, `kernel` is like "6.12", `time` is RFC 3339. `program` is a digest of
    the files from which the engine has its default. `config` is the configuration by which the
    engine was chosen among several, "" for the one on the path. `stale` says what has changed
    since, "" if nothing has, as in each file.
    """

    engine: str
    version: str
    time: str
    arch: str
    kernel: str
    program: str
    profile: dict[str, Any]
    config: str = ""
    stale: str = ""
    format: Literal[1] = 1

    @property
    def name(self) -> str:
        """Return the name by which a policy knows this profile: equal ones have equal names."""
        return f"{self.engine}{MARK}-{json_codec.digest(_compact(self.profile), _BYTES)}"

    def parsed(self) -> Profile:
        """Return the profile. Raises ProfileError."""
        return profile_parser.parse(_compact(self.profile), self.name)


def text(captured: CapturedProfile) -> bytes:
    """Return the file's content."""
    return json.dumps(written(captured), indent=1).encode() + b"\n"


def parse(data: bytes, source: str) -> CapturedProfile:
    """Return the capture in a file's bytes. Raises ProfileError."""
    try:
        captured = read(CapturedProfile, data)
    except DocumentError as error:
        why = f"no captured profile of this release ({error}); remove it, or capture it again"
        raise ProfileError(f"{source} is {why}") from None
    captured.parsed()
    return captured


def _compact(profile: Json) -> bytes:
    return json.dumps(profile, separators=(",", ":")).encode()


def checked(block: Json, source: str) -> Json:
    """Return an engine's block if it is one that a runtime would take. Raises ProfileError."""
    profile_parser.parse(_compact(block), source)
    return block


def resolved(profile: Profile, caps: Caps, arch: str, kernel: Kernel) -> Json:
    """Return the block of a container with these bounding capabilities."""
    return resolve(compile_profile(profile, arch=arch, kernel=kernel), caps)


def derived(blocks: Mapping[Caps, Json], source: str) -> Json:
    """Return the profile that gives these blocks. Raises ProfileError if no such one is found.

    There is a block for no capability, one for each single one that decides about a rule, and some
    for several.
    """
    keys = {caps: _keyed(block) for caps, block in blocks.items()}
    rules = [entry for key in _ordered(keys.values()) for entry in _entries(key, keys)]
    head = {name: value for name, value in blocks[frozenset()].items() if name != "syscalls"}
    profile = {**head, "syscalls": rules}
    _check(profile, blocks, source)
    return profile


def _keyed(block: Json) -> list[Key]:
    seen: dict[str, int] = {}
    keys = []
    for rule in block.get("syscalls") or ():
        text_of = json.dumps({**rule, "names": sorted(rule["names"])}, sort_keys=True)
        seen[text_of] = seen.get(text_of, -1) + 1
        keys.append((text_of, seen[text_of]))
    return keys


def _ordered(blocks: Iterable[list[Key]]) -> list[Key]:
    """Return all keys in an order that is each block's own: contradicting rules depend on it."""
    before: dict[Key, set[Key]] = {}
    for keys in blocks:
        earlier: set[Key] = set()
        for key in keys:
            before.setdefault(key, set()).update(earlier)
            earlier = {key}
    order = []
    while before:
        free = (key for key, needed in before.items() if not needed)
        order.append(next(free, next(iter(before))))  # a circle has no right order
        del before[order[-1]]
        for needed in before.values():
            needed.discard(order[-1])
    return order


def _entries(key: Key, keys: Mapping[Caps, list[Key]]) -> Iterator[Json]:
    """Yield the rule with its condition; once for each capability that suffices."""
    rule = json.loads(key[0])
    holds = {caps for caps, found in keys.items() if key in found}
    single = {next(iter(caps)): caps in holds for caps in keys if len(caps) == 1}
    if frozenset() not in holds:
        for cap in sorted(cap for cap, does in single.items() if does):
            yield {**rule, "includes": {"caps": [cap]}}
        return
    without = sorted(cap for cap, does in single.items() if not does)
    yield {**rule, "excludes": {"caps": without}} if without else rule


def _check(profile: Json, blocks: Mapping[Caps, Json], source: str) -> None:
    """Refuse a profile that does not give a block again, as if rules needed several capabilities.

    Architecture and kernel do not matter: the engine itself has resolved those conditions.
    """
    made = profile_parser.parse(_compact(profile), source)
    for caps, block in blocks.items():
        found = differences(block, resolved(made, caps, "amd64", (0, 0)))
        if found:
            few = ", ".join(sorted(caps)[:3]) or "no capability"
            raise ProfileError(
                f"{source}: no profile in moby's format gives what it applies with {few}"
                f"{' and more' if len(caps) > 3 else ''}: {found[0].what}"  # noqa: PLR2004 - see few
            )


class BlockDifference(NamedTuple):
    """What only one of two blocks has: `of` is 0 for the first block, 1 for the second."""

    of: int
    what: str


def differences(first: Json, second: Json) -> list[BlockDifference]:
    """Return what only one block has, sorted; [] if they have the same result for every call."""
    one, other = (frozenset([*_fields(block), *_rules(block)]) for block in (first, second))
    return [
        *(BlockDifference(0, line) for line in sorted(one - other)),
        *(BlockDifference(1, line) for line in sorted(other - one)),
    ]


def _rules(block: Json) -> Iterator[str]:
    """Yield each call's rule: "socket: SCMP_ACT_ALLOW if argument 0 SCMP_CMP_NE 0x28"."""
    for entry in block.get("syscalls") or ():
        outcome = _outcome(entry["action"], entry.get("errnoRet"))
        said = " and ".join(map(_comparison, sorted(entry.get("args") or (), key=_order)))
        for name in entry["names"]:
            yield f"{name}: {outcome}{said and f' if {said}'}"


def _outcome(action: str, errno_ret: int | None) -> str:
    return actions.describe(actions.code(action, errno_ret))


def _order(argument: Json) -> tuple[int, str, int, int]:
    return argument["index"], argument["op"], argument["value"], argument.get("valueTwo") or 0


def _comparison(argument: Json) -> str:
    index, op, value, two = _order(argument)
    return f"argument {index} {op} {value:#x}{f' {two:#x}' if two else ''}"


def _fields(block: Json) -> Iterator[str]:
    yield f"every other call: {_outcome(block['defaultAction'], block.get('defaultErrnoRet'))}"
    for name in _SETS:
        if block.get(name) is not None:
            yield f"{name}: {', '.join(sorted(block[name])) or 'none'}"
    for name in _WHOLE:
        if block.get(name):
            yield f"{name}: {block[name]}"
