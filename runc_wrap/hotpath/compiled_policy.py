"""The types of what `runc-wrapctl apply` writes, and what a create reads of it.

No create loads this module. policy.policy_compiler makes a policy,
profiles.profile_compiler a profile, policy_file reads both.
"""

from typing import Any, NotRequired, Required, TypedDict

Block = dict[str, Any]  # linux.seccomp of the OCI runtime-spec


class Default(TypedDict):
    """What a container gets that no rule selects; `adopt` is "none" if it is left out."""

    profile: str
    mode: str
    adopt: NotRequired[str]
    record: NotRequired[bool]
    candidate: NotRequired[str]


class OptOut(TypedDict):
    """Whose annotations count; `late` is "honour" or "ignore", and lacks before release 0.2."""

    annotations: bool
    namespaces: list[str]
    images: list[str]
    late: NotRequired[str]


class Runtime(TypedDict):
    """The real runtime; `kind` is runc or crun."""

    path: str
    kind: str
    version: str


class PolicyRule(TypedDict, total=False):
    """One rule: selectors, each with patterns of which one must match, and what follows.

    `percent` of the containers are taken; `until` is in seconds since the epoch. `candidate` is
    there only if the rule's mode and profile have one: the default's is written into the rule.
    """

    name: Required[str]
    namespace: list[str]
    pod: list[str]
    container: list[str]
    image: list[str]
    engine: list[str]
    handler: list[str]
    mode: str
    profile: str
    adopt: str
    record: bool
    candidate: str
    percent: int
    until: float


class Overlay(TypedDict):
    """Calls and socket families that are denied; `existing`: in foreign profiles, too."""

    deny: list[str]
    deny_sockets: list[int]
    existing: bool


class CompiledRule(TypedDict):
    """One entry of "syscalls", and which capabilities it needs or must not see.

    Empty lists are left out.
    """

    rule: dict[str, Any]
    all: NotRequired[list[str]]
    none: NotRequired[list[str]]


class CompiledProfile(TypedDict):
    """A profile for one machine and mode (hotpath.resolve); `block` has no "syscalls".

    `narrowed` are the calls whose int arguments are compared as the kernel does. `unpreviewed`
    are the calls of which a candidate beside the profile is not looked at.
    """

    name: str
    version: str | None
    block: Block
    rules: list[CompiledRule]
    narrowed: NotRequired[list[str]]
    unpreviewed: NotRequired[list[str]]


class CompiledPolicy(TypedDict):
    """A policy for one machine.

    `engine` is the one engine of this node, "auto" for any; `runtime_default` tells each
    engine's profile, `composed` {profile composed on that: {engine: its profile}}; `adoption`
    exists if the policy may take over an engine's default: "profiles" has those of each engine,
    "within" for each of them the profiles that let through no call that it denies; `candidates`
    is {profile that is looked at beside another: its digest}; a policy that an older release
    compiled has no `restore`.
    policy_file.load adds the last three: where it lies, its file's version, and {path:
    (version, profile)} of profiles that were read.
    """

    version: int
    compiled: str
    runtime: Runtime
    on_error: str
    restore: NotRequired[str]
    default: Default
    privileged: str
    engine: str
    runtime_default: dict[str, str]
    opt_out: OptOut
    rules: list[PolicyRule]
    overlay: Overlay | None
    adoption: NotRequired[dict[str, dict[str, list[str]]]]
    composed: NotRequired[dict[str, dict[str, str]]]
    candidates: NotRequired[dict[str, str]]
    directory: NotRequired[str]
    seen: NotRequired[object]
    loaded: NotRequired[dict[str, tuple[object, CompiledProfile]]]
