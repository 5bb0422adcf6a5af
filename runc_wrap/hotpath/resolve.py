"""Resolves a compiled profile for one container.

`runc_wrap.profiles.profile_compiler` writes compiled profiles, with architecture and kernel already
decided:

    {"name": str, "version": str | null,
     "block": {linux.seccomp of the OCI runtime-spec, without "syscalls"},
     "rules": [{"rule": {one entry of "syscalls"}, "all": [capability], "none": [capability]}]}

`all` and `none` are left out when empty. A rule holds when every capability of `all` is in the
container's bounding set and none of `none` is (the meaning of includes.caps and excludes.caps in
moby's profile format, moby/profiles seccomp_linux.go).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runc_wrap.hotpath.compiled_policy import CompiledProfile, CompiledRule

    Json = dict[str, Any]


def resolve(compiled: "CompiledProfile", bounding: "frozenset[str]") -> "Json":
    """Return the OCI linux.seccomp object for a container with these bounding capabilities.

    Equal input gives an equal object with equal key order: crun caches filters by content.
    """
    rules = [entry["rule"] for entry in compiled["rules"] if holds(entry, bounding)]
    return {**compiled["block"], "syscalls": rules}


def holds(entry: "CompiledRule", bounding: "frozenset[str]") -> bool:
    """Return whether a container with these bounding capabilities gets a rule."""
    return bounding.issuperset(entry.get("all", ())) and bounding.isdisjoint(entry.get("none", ()))
