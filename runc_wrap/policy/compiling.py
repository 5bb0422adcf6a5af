"""Compiling the policy: settings and the node's facts in, what the hot path reads out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath.caller import ENGINES, UNKNOWN
from runc_wrap.hotpath.decide import LOCALHOST, RUNTIME_DEFAULT
from runc_wrap.hotpath.policy import VERSION
from runc_wrap.policy import schema
from runc_wrap.policy.source import PolicyError
from runc_wrap.profiles import builtin, compiling, formats
from runc_wrap.profiles.model import ProfileError

if TYPE_CHECKING:
    from runc_wrap.policy.source import Values
    from runc_wrap.profiles.model import Profile

Json = dict[str, Any]
SYSTEM = "containers-common@system"
_BUILT_IN_OF = {"containerd": "containerd", "docker": "moby", "crio": "crio"}


@dataclass(frozen=True)
class Facts:
    """What this node is: all that compiling needs beside the owner's settings.

    `engines` maps an engine to its installed version; `own_profiles` the path beneath the profile
    directory to a file's bytes; `system_profile` is (path, bytes) of containers-common's
    seccomp.json, if there is one; `arch` in Go's words; `kernel` (major, minor).
    """

    runtime_path: str
    runtime_kind: str
    runtime_version: str
    arch: str
    kernel: tuple[int, int]
    engines: dict[str, str] = field(default_factory=dict)
    own_profiles: dict[str, bytes] = field(default_factory=dict)
    system_profile: tuple[str, bytes] | None = None


@dataclass(frozen=True)
class Compiled:
    """policy.json, and the compiled profiles by name."""

    policy: Json
    profiles: dict[str, Json]


def compile_policy(values: Values, facts: Facts) -> Compiled:
    """Return the compiled form. Raises PolicyError naming every profile that is wrong."""
    runtime_default = _runtime_default(values, facts)
    default = str(values["default.profile"])
    named = {*runtime_default.values(), *({default} - {RUNTIME_DEFAULT})}
    named |= {LOCALHOST + path for path in facts.own_profiles}
    policy = {
        "version": VERSION,
        "runtime": {
            "path": facts.runtime_path,
            "kind": facts.runtime_kind,
            "version": facts.runtime_version,
        },
        "on_error": values["on_error"],
        "default": {"profile": default},
        "runtime_default": runtime_default,
    }
    return Compiled(policy, _profiles(sorted(named), facts))


def _runtime_default(values: Values, facts: Facts) -> dict[str, str]:
    """Return which profile `runtime-default` is, by calling engine."""
    common = _containers_common(str(values["runtime_default.containers_common"]), facts)
    own = {engine: _spec(engine, values, facts) for engine in _BUILT_IN_OF}
    own |= {"podman": common, "buildah": common}
    always = str(values["runtime_default.engine"])
    chosen = {engine: own[engine if always == schema.AUTO else always] for engine in ENGINES}
    return {**chosen, UNKNOWN: chosen["containerd"]}


def _spec(engine: str, values: Values, facts: Facts) -> str:
    wanted = str(values[f"runtime_default.{engine}"])
    version = facts.engines.get(engine) if wanted == schema.AUTO else wanted
    name = _BUILT_IN_OF[engine]
    return f"{name}@{version}" if version else name


def _containers_common(wanted: str, facts: Facts) -> str:
    if wanted == "system" and facts.system_profile is None:
        raise PolicyError(
            "runtime_default.containers_common is system, but this node has no seccomp.json of "
            "containers-common; write auto, builtin or a version."
        )
    if wanted in (schema.AUTO, "system") and facts.system_profile is not None:
        return SYSTEM
    return (
        "containers-common" if wanted in (schema.AUTO, "builtin") else f"containers-common@{wanted}"
    )


def _profiles(names: list[str], facts: Facts) -> dict[str, Json]:
    compiled = {}
    problems = []
    for name in names:
        try:
            profile = load(name, facts.own_profiles, facts.system_profile)
            compiled[name] = compiling.compile_profile(
                profile, arch=facts.arch, kernel=facts.kernel
            )
        except ProfileError as error:
            problems.append(f"profile {name}: {error}")
    if problems:
        raise PolicyError("\n".join(problems))
    return compiled


def load(
    name: str, own_profiles: dict[str, bytes], system_profile: tuple[str, bytes] | None
) -> Profile:
    """Return the profile of this name, as policy and annotations name it. Raises ProfileError.

    `own_profiles` and `system_profile` are as in Facts.
    """
    if name == SYSTEM and system_profile is not None:
        return formats.parse(system_profile[1], system_profile[0])
    if not name.startswith(LOCALHOST):
        return builtin.load(name)
    path = name.removeprefix(LOCALHOST)
    if path not in own_profiles:
        raise ProfileError(
            f"there is no file {path} in the profile directory; it has "
            f"{', '.join(sorted(own_profiles)) or 'no files'}."
        )
    return formats.parse(own_profiles[path], path)
