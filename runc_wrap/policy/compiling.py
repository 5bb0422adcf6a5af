"""Compiling the policy: settings and the node's facts in, what the hot path reads out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath.caller import ENGINES, UNKNOWN
from runc_wrap.hotpath.decide import LOCALHOST, RUNTIME_DEFAULT
from runc_wrap.hotpath.policy import VERSION, file_name
from runc_wrap.policy import schema
from runc_wrap.policy.source import PolicyError
from runc_wrap.profiles import builtin, compiling, formats, versions
from runc_wrap.profiles.engines import podman
from runc_wrap.profiles.engines.containers_common import CONTAINERS_COMMON
from runc_wrap.profiles.model import ProfileError

if TYPE_CHECKING:
    from runc_wrap.policy.source import Values
    from runc_wrap.profiles.model import Profile

Json = dict[str, Any]
SYSTEM = "containers-common@system"
_BUILT_IN_OF = {"containerd": "containerd", "docker": "moby", "crio": "crio"}
_LONGEST_NAME = 200  # characters, as hotpath.policy takes it from an annotation
_NAME_MAX = 255  # bytes
_CONTAINERS_COMMON_SETTING = "runtime_default.containers_common"


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
    """policy.json, the compiled profiles by name, and what these were compiled from."""

    policy: Json
    profiles: dict[str, Json]
    sources: dict[str, Profile]


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
        "default": {"profile": default, "mode": "enforce"},
        "privileged": "leave",
        "opt_out": {"annotations": True, "namespaces": ["*"], "images": ["*"]},
        "rules": [],
        "overlay": None,
        "runtime_default": runtime_default,
    }
    return Compiled(policy, *_profiles(sorted(named), facts))


def _runtime_default(values: Values, facts: Facts) -> dict[str, str]:
    """Return which profile `runtime-default` is, by calling engine."""
    own = {engine: _spec(engine, values, facts) for engine in _BUILT_IN_OF}
    wanted = str(values[_CONTAINERS_COMMON_SETTING])
    own |= {engine: _containers_common(engine, wanted, facts) for engine in podman.ENGINES}
    always = str(values["runtime_default.engine"])
    chosen = {engine: own[engine if always == schema.AUTO else always] for engine in ENGINES}
    return {**chosen, UNKNOWN: chosen["containerd"]}


def _spec(engine: str, values: Values, facts: Facts) -> str:
    wanted = str(values[f"runtime_default.{engine}"])
    version = facts.engines.get(engine) if wanted == schema.AUTO else wanted
    name = _BUILT_IN_OF[engine]
    return f"{name}@{version}" if version else name


def _containers_common(engine: str, wanted: str, facts: Facts) -> str:
    if wanted == schema.SYSTEM and facts.system_profile is None:
        raise PolicyError(
            f"{_CONTAINERS_COMMON_SETTING} is system, but this node has no seccomp.json of "
            "containers-common; write auto, builtin or a version."
        )
    if wanted in (schema.AUTO, schema.SYSTEM) and facts.system_profile is not None:
        return SYSTEM
    if wanted in (schema.AUTO, schema.BUILTIN):
        return _built_with(engine, facts)
    return f"{CONTAINERS_COMMON.name}@{_library_version(wanted)}"


def _built_with(engine: str, facts: Facts) -> str:
    """Return the built-in profile of the installed Podman or Buildah, the newest if none is."""
    installed = facts.engines.get(engine)
    if installed is None:
        return CONTAINERS_COMMON.name
    version = podman.built_with(engine, installed)
    if version is None:
        raise PolicyError(
            f"the default profile of the installed {engine} {installed} is not known; write "
            f'{_CONTAINERS_COMMON_SETTING} = "{CONTAINERS_COMMON.oldest}" for the nearest.'
        )
    return f"{CONTAINERS_COMMON.name}@{version}"


def _library_version(wanted: str) -> str:
    """Return a version of containers/common. Raises PolicyError for what looks like Podman's."""
    newest = max(CONTAINERS_COMMON.known())
    try:
        strange = versions.parse(wanted).major > newest.major
    except ProfileError as error:
        raise PolicyError(f"{_CONTAINERS_COMMON_SETTING}: {error}.") from None
    if strange:
        raise PolicyError(
            f"{_CONTAINERS_COMMON_SETTING} is {wanted}, but the newest containers/common is "
            f"{newest}; Podman's and Buildah's own versions are others: write auto for theirs."
        )
    return wanted


def _profiles(names: list[str], facts: Facts) -> tuple[dict[str, Json], dict[str, Profile]]:
    compiled, sources, problems = {}, {}, []
    for name in names:
        try:
            _check_name(name)
            sources[name] = load(name, facts.own_profiles, facts.system_profile)
            compiled[name] = compiling.compile_profile(
                sources[name], arch=facts.arch, kernel=facts.kernel
            )
        except ProfileError as error:
            problems.append(f"profile {name}: {error}")
    if problems:
        raise PolicyError("\n".join(problems))
    return compiled, sources


def _check_name(name: str) -> None:
    """Refuse a name that no create could find again, or no disk keep."""
    if not name.isprintable():
        raise ProfileError(f"the name {name!a} has characters that cannot be printed; rename it.")
    if name.startswith(LOCALHOST) and not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise ProfileError("the name is no plain path beneath the profile directory; rename it.")
    if len(name) > _LONGEST_NAME or len(file_name(name, "enforce-log").encode()) > _NAME_MAX:
        raise ProfileError(
            f"the name is too long: it may have {_LONGEST_NAME} characters, and {_NAME_MAX} bytes "
            "as a file name with its / and % written as three; rename it."
        )


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
