"""The profiles that a policy names: each engine's default, and loading a profile by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runc_wrap.host import engine_names
from runc_wrap.hotpath.annotations import LOCALHOST, RUNTIME_DEFAULT
from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.hotpath.decision import ENFORCE_LOG, form_of
from runc_wrap.hotpath.policy_file import file_name
from runc_wrap.policy.policy_errors import PolicyError
from runc_wrap.policy.settings import schema
from runc_wrap.policy.settings.schema import placing
from runc_wrap.profiles import builtin, captured_profile, engine_versions
from runc_wrap.profiles.composition import composed_file, composer, expression
from runc_wrap.profiles.composition.composer import Composed
from runc_wrap.profiles.engine_defaults import podman
from runc_wrap.profiles.engine_defaults.containers_common import CONTAINERS_COMMON
from runc_wrap.profiles.json_profiles import formats
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runc_wrap.policy.compiler_facts import Facts
    from runc_wrap.profiles.captured_profile import CapturedProfile
    from runc_wrap.profiles.composition.expression import Composition
    from runc_wrap.profiles.source_profile import Profile

SYSTEM = "containers-common@system"
ON = " on "  # before the engine's default that stands for runtime-default in a composed profile
_DEEPEST = 8  # profiles that are each the base of the next
_OF_UNKNOWN = engine_names.CONTAINERD  # whose default an unknown caller's containers get
_LONGEST_NAME = 200  # characters, as hotpath.policy_file takes it from an annotation
_NAME_MAX = 255  # bytes
_CONTAINERS_COMMON_SETTING = "runtime_default.containers_common"


def runtime_default(values: Mapping[str, Any], facts: Facts) -> tuple[dict[str, str], list[str]]:
    """Return {calling engine: its profile for `runtime-default`}, and remarks on that.

    Raises PolicyError.
    """
    remarks: list[str] = []
    own = _own(values, facts, remarks)
    always = str(values["runtime_default.engine"])
    chosen = {
        engine: own[engine if always == schema.AUTO else always] for engine in engine_names.KNOWN
    }
    return {**chosen, UNKNOWN: chosen[_OF_UNKNOWN.name]}, remarks


def _own(values: Mapping[str, Any], facts: Facts, remarks: list[str]) -> dict[str, str]:
    """Return {engine: its own default profile}; append remarks. Raises PolicyError."""
    return {engine: _own_default(engine, values, facts, remarks) for engine in engine_names.KNOWN}


def _own_default(engine: str, values: Mapping[str, Any], facts: Facts, remarks: list[str]) -> str:
    if _is_captured(engine, values) and engine in facts.engines:
        return _captured(engine, values, facts)
    if _setting_of(engine) == _CONTAINERS_COMMON_SETTING:
        return _containers_common(engine, values, facts, remarks)
    return _spec(engine, values, facts, remarks)


def _is_captured(engine: str, values: Mapping[str, Any]) -> bool:
    """Return whether the settings want the captured default of this engine."""
    return (
        values["runtime_default.source"] == schema.CAPTURED
        and values["runtime_default.engine"] in (schema.AUTO, engine)
        and values[_setting_of(engine)] == schema.AUTO
    )


def _captured(engine: str, values: Mapping[str, Any], facts: Facts) -> str:
    """Return the captured default's name. Raises PolicyError if there is none that still holds."""
    found = facts.captured.get(engine)
    if found and not found.stale:
        return found.name
    where = f"{placing(values)('runtime_default.source')}runtime_default.source is captured, but "
    what = found.stale if found else f"{engine} is installed and its default is not captured"
    aside = f"write {_setting_of(engine)} = {_aside(engine, facts)} to use the built-in profile"
    of = f" --config {found.config}" if found and found.config else ""
    again = f"runc-wrapctl profile capture {engine}{of}"
    raise PolicyError(f"{where}{what}; run `{again}` and apply again, or {aside}.")


def _setting_of(engine: str) -> str:
    names = engine_names.KNOWN.get(engine, _OF_UNKNOWN)
    is_common = names.profile == engine_names.COMMON
    return _CONTAINERS_COMMON_SETTING if is_common else f"runtime_default.{names.name}"


def _aside(engine: str, facts: Facts) -> str:
    """Return a value of an engine's setting that takes the table whatever the source."""
    is_common = _setting_of(engine) == _CONTAINERS_COMMON_SETTING
    return '"builtin"' if is_common else f'"{facts.engines[engine]}"'


def engine_defaults(values: Mapping[str, Any], facts: Facts) -> dict[str, list[str]]:
    """Return {calling engine: the profiles that count as its default in a config}.

    They are those of the table for the installed version, the captured one while it holds, and what
    the owner wrote, if another; `runtime_default.engine` does not count here. Raises PolicyError.
    """
    settings = dict.fromkeys(map(_setting_of, engine_names.KNOWN), schema.AUTO)
    of_table = {**values, **settings, "runtime_default.source": schema.TABLE}
    table, written = _own(of_table, facts, []), _own(values, facts, [])
    captured = {engine: one.name for engine, one in facts.captured.items() if not one.stale}
    found = {
        engine: [
            *dict.fromkeys(filter(None, (table[engine], captured.get(engine), written[engine])))
        ]
        for engine in engine_names.KNOWN
    }
    return {**found, UNKNOWN: found[_OF_UNKNOWN.name]}


def _spec(engine: str, values: Mapping[str, Any], facts: Facts, remarks: list[str]) -> str:
    wanted = str(values[f"runtime_default.{engine}"])
    name = engine_names.KNOWN[engine].profile
    if wanted != schema.AUTO:
        return f"{name}@{wanted}"
    installed = facts.engines.get(engine)
    if installed is None:
        return name
    if engine_versions.parse(installed) >= engine_versions.parse(builtin.oldest(name)):
        return f"{name}@{installed}"
    return _nearest(engine, installed, f"{name}@{builtin.oldest(name)}", remarks)


def _nearest(engine: str, installed: str, spec: str, remarks: list[str]) -> str:
    remarks.append(
        f"note: the default profile of the installed {engine} {installed} is not known; "
        f"{spec}, the nearest known one, is used."
    )
    return spec


def _containers_common(
    engine: str, values: Mapping[str, Any], facts: Facts, remarks: list[str]
) -> str:
    wanted = str(values[_CONTAINERS_COMMON_SETTING])
    place = placing(values)(_CONTAINERS_COMMON_SETTING)
    if wanted == schema.SYSTEM and facts.system_profile is None:
        raise PolicyError(
            f"{place}{_CONTAINERS_COMMON_SETTING} is system, but this node has no seccomp.json of "
            "containers-common; write auto, builtin or a version."
        )
    if wanted in (schema.AUTO, schema.SYSTEM) and facts.system_profile is not None:
        return SYSTEM
    if wanted in (schema.AUTO, schema.BUILTIN):
        return _built_with(engine, facts, remarks)
    return f"{CONTAINERS_COMMON.name}@{_library_version(wanted, place)}"


def _built_with(engine: str, facts: Facts, remarks: list[str]) -> str:
    """Return the built-in profile of the installed Podman or Buildah, the newest without one."""
    installed = facts.engines.get(engine)
    if installed is None:
        return CONTAINERS_COMMON.name
    version = podman.built_with(engine, installed)
    oldest = f"{CONTAINERS_COMMON.name}@{CONTAINERS_COMMON.oldest}"
    if version is None:
        return _nearest(engine, installed, oldest, remarks)
    return f"{CONTAINERS_COMMON.name}@{version}"


def _library_version(wanted: str, place: str) -> str:
    """Return a version of containers/common. Raises PolicyError for what looks like Podman's."""
    newest = max(CONTAINERS_COMMON.known())
    try:
        is_podmans = engine_versions.parse(wanted).major > newest.major
    except ProfileError as error:
        raise PolicyError(f"{place}{_CONTAINERS_COMMON_SETTING}: {error}.") from None
    if is_podmans:
        raise PolicyError(
            f"{place}{_CONTAINERS_COMMON_SETTING} is {wanted}, but the newest containers/common is "
            f"{newest}; Podman and Buildah have version numbers of their own: write auto for those."
        )
    return wanted


def named(values: Mapping[str, Any], defaults: dict[str, str], facts: Facts) -> dict[str, str]:
    """Return {every profile that a container can get: the place that names it, or ""}.

    A profile composed on runtime-default is there once for each default that engines have.
    """
    found = _written(values, defaults, facts)
    for name, on in on_defaults(values, defaults, facts).items():
        found |= dict.fromkeys(on.values(), found.pop(name))
    return dict(sorted(found.items()))


def on_defaults(
    values: Mapping[str, Any], defaults: dict[str, str], facts: Facts
) -> dict[str, dict[str, str]]:
    """Return {each profile that is composed on runtime-default: {engine: its name there}}."""
    return {
        name: {engine: f"{name}{ON}{default}" for engine, default in defaults.items()}
        for name in _written(values, defaults, facts)
        if is_on_default(name, facts.own_profiles)
    }


def _written(values: Mapping[str, Any], defaults: dict[str, str], facts: Facts) -> dict[str, str]:
    """Return {every profile that the policy names, and each of the owner's files: its place}."""
    place = placing(values)
    found = {LOCALHOST + path: "" for path in facts.own_profiles}
    found |= {name: place(_setting_of(engine)) for engine, name in defaults.items()}
    for key in ("profile", "candidate"):
        for table in schema.deciding_tables(values):
            if name := table.written.get(key):
                found.setdefault(str(name), table.place(key))
    found.pop(RUNTIME_DEFAULT, None)
    return found


def is_on_default(name: str, own_profiles: Mapping[str, bytes], depth: int = _DEEPEST) -> bool:
    """Tell whether a profile's base is runtime-default, or the base of its base."""
    if name == RUNTIME_DEFAULT:
        return depth < _DEEPEST
    try:
        what = _composition(name, own_profiles)
    except ProfileError:  # loading it says why
        return False
    return what is not None and depth > 0 and is_on_default(what.base, own_profiles, depth - 1)


def _composition(name: str, own_profiles: Mapping[str, bytes]) -> Composition | None:
    """Return of what a profile is composed, None if it is not. Raises ProfileError."""
    if expression.is_composed(name):
        return expression.parse(name)
    path = name.removeprefix(LOCALHOST)
    data = own_profiles.get(path) if name.startswith(LOCALHOST) else None
    if not data or not composed_file.has_base(data, path):
        return None
    return composed_file.parse(data, name)


def sources(names: dict[str, str], facts: Facts, problems: list[str]) -> dict[str, Profile]:
    """Return the profiles of these names; append errors to `problems`."""
    found = {}
    for name, place in names.items():
        try:
            _check_name(name)
            found[name] = of_facts(name, facts)
        except ProfileError as error:
            problems.append(f"{place}profile {name}: {error}")
    return found


def _check_name(name: str) -> None:
    """Refuse a name that no create could find again, or that is too long for a file."""
    if not name.isprintable():
        raise ProfileError(f"the name {name!a} has characters that cannot be printed; rename it.")
    if name.startswith(LOCALHOST) and not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise ProfileError("the name is not a plain path below the profile directory; rename it.")
    longest = file_name(name, form_of(ENFORCE_LOG, "0" * 64))
    if len(name) > _LONGEST_NAME or len(longest.encode()) > _NAME_MAX:
        raise ProfileError(
            f"the name is too long: it may have {_LONGEST_NAME} characters, and {_NAME_MAX} bytes "
            "as a file name, in which / and % take three bytes each; rename it."
        )


def of_facts(name: str, facts: Facts) -> Profile:
    """Return the profile of this name on the node of these facts. Raises ProfileError."""
    return loaded(name, facts.own_profiles, facts.system_profile, facts.captured).profile


def loaded(
    name: str,
    own_profiles: dict[str, bytes],
    system_profile: tuple[str, bytes] | None = None,
    captured: dict[str, CapturedProfile] | None = None,
    by: str = "",
) -> Composed:
    """Return the profile that policy and annotations call by this name. Raises ProfileError.

    `own_profiles`, `system_profile` and `captured` are as in Facts; `by` is what names it, if any.
    """
    plain, on, default = name.rpartition(ON)
    if not on or name.removeprefix(LOCALHOST) in own_profiles:
        plain, default = name, ""

    def part(name: str, depth: int, by: str) -> Composed:
        if depth == 0:
            raise ProfileError(
                f"{name}: a chain of more than {_DEEPEST} bases leads to it, or a circle of them; "
                "name a base that is not composed"
            )
        if name == RUNTIME_DEFAULT and default:
            return part(default, depth - 1, name)
        if what := _composition(name, own_profiles):
            return composer.made(name, what, lambda other: part(other, depth - 1, name))
        found = _plain(name, own_profiles, system_profile, captured, by)
        return Composed(found, found.name)

    return part(plain, _DEEPEST, by)


def _plain(
    name: str,
    own_profiles: dict[str, bytes],
    system_profile: tuple[str, bytes] | None,
    captured: dict[str, CapturedProfile] | None,
    by: str,
) -> Profile:
    if captured_profile.MARK in name and not name.startswith(LOCALHOST):
        return _load_captured(name, captured or {})
    if name == SYSTEM and system_profile is not None:
        return formats.parse(system_profile[1], system_profile[0])
    if not name.startswith(LOCALHOST):
        return builtin.load(name)
    path = name.removeprefix(LOCALHOST)
    if path not in own_profiles:
        raise ProfileError(
            f"there is no file {path} in the profile directory"
            f"{by and f', which {by} names'}; it has "
            f"{', '.join(sorted(own_profiles)) or 'no files'}."
        )
    return formats.parse(own_profiles[path], path)


def _load_captured(name: str, captured: dict[str, CapturedProfile]) -> Profile:
    engine = name.partition("@")[0]
    found = captured.get(engine)
    if found is None or name not in (found.name, f"{engine}{captured_profile.MARK}"):
        there = ", ".join(sorted(one.name for one in captured.values())) or "none"
        raise ProfileError(f"no such profile is captured; captured are: {there}")
    if found.stale:
        raise ProfileError(f"{found.stale}; run `runc-wrapctl profile capture {engine}`")
    return found.parsed()
