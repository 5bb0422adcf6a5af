"""Which profile is each engine's default: by the settings `runtime_default`, or by its version.

And how the default that was captured from an engine differs from the table's.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from runc_wrap.host import engine_names
from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.policy.compiler_facts import Facts, PolicyError
from runc_wrap.policy.settings import schema
from runc_wrap.policy.settings.schema import placing
from runc_wrap.profiles import builtin, captured_profile, engine_versions
from runc_wrap.profiles.captured_profile import CapturedProfile
from runc_wrap.profiles.engine_defaults import containers_common
from runc_wrap.profiles.engine_defaults.containers_common import CONTAINERS_COMMON
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.runtime_spec_names import CAPABILITIES
from runc_wrap.profiles.source_profile import Profile, ProfileError

SYSTEM = "containers-common@system"
_OF_UNKNOWN = engine_names.CONTAINERD  # whose default an unknown caller's containers get
_CONTAINERS_COMMON_SETTING = "runtime_default.containers_common"


def by_engine(values: Mapping[str, Any], facts: Facts) -> tuple[dict[str, str], list[str]]:
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
    wanted = values[setting_of(engine)]
    is_asked = values["runtime_default.engine"] in (schema.AUTO, engine) and wanted == schema.AUTO
    if is_asked and values["runtime_default.source"] == schema.CAPTURED and engine in facts.engines:
        return _captured(engine, values, facts)
    if setting_of(engine) == _CONTAINERS_COMMON_SETTING:
        return _containers_common(engine, values, facts, remarks)
    if wanted != schema.AUTO:
        return f"{engine_names.KNOWN[engine].profile}@{wanted}"
    return _of_installed(engine, facts, remarks)


def _captured(engine: str, values: Mapping[str, Any], facts: Facts) -> str:
    """Return the captured default's name. Raises PolicyError if there is none that still holds."""
    found = facts.captured.get(engine)
    if found and not found.stale:
        return found.name
    where = f"{placing(values)('runtime_default.source')}runtime_default.source is captured, but "
    what = found.stale if found else f"{engine} is installed and its default is not captured"
    setting = setting_of(engine)
    table = schema.BUILTIN if setting == _CONTAINERS_COMMON_SETTING else facts.engines[engine]
    aside = f'write {setting} = "{table}" to use the built-in profile'
    of = f" --config {found.config}" if found and found.config else ""
    again = f"runc-wrapctl profile capture {engine}{of}"
    raise PolicyError(f"{where}{what}; run `{again}` and apply again, or {aside}.")


def setting_of(engine: str) -> str:
    """Return the setting that says which profile is an engine's default."""
    names = engine_names.KNOWN.get(engine, _OF_UNKNOWN)
    is_common = names.profile == engine_names.COMMON
    return _CONTAINERS_COMMON_SETTING if is_common else f"runtime_default.{names.name}"


def engine_defaults(values: Mapping[str, Any], facts: Facts) -> dict[str, list[str]]:
    """Return {calling engine: the profiles that count as its default in a config}.

    They are those of the table for the installed version, the captured one while it holds, and what
    the owner wrote, if another; `runtime_default.engine` does not count here. Raises PolicyError.
    """
    settings = dict.fromkeys(map(setting_of, engine_names.KNOWN), schema.AUTO)
    of_table = {**values, **settings, "runtime_default.source": schema.TABLE}
    table, written = _own(of_table, facts, []), _own(values, facts, [])
    captured = {engine: one.name for engine, one in facts.captured.items() if not one.stale}
    found = {
        one: [*dict.fromkeys(filter(None, (table[one], captured.get(one), written[one])))]
        for one in engine_names.KNOWN
    }
    return {**found, UNKNOWN: found[_OF_UNKNOWN.name]}


def _of_installed(engine: str, facts: Facts, remarks: list[str]) -> str:
    """Return the built-in profile of an engine's installed version, the newest without one."""
    name, installed = engine_names.KNOWN[engine].profile, facts.engines.get(engine)
    if installed is None:
        return name
    version: str | None = installed
    if name == CONTAINERS_COMMON.name:
        version = containers_common.built_with(engine, installed)
    elif engine_versions.parse(installed) < engine_versions.parse(builtin.oldest(name)):
        version = None
    spec = f"{name}@{version or builtin.oldest(name)}"
    if version is None:
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
        return _of_installed(engine, facts, remarks)
    return f"{CONTAINERS_COMMON.name}@{_library_version(wanted, place)}"


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


def of_table(name: str, system_profile: tuple[str, bytes] | None) -> Profile:
    """Return a built-in profile, or the one of the system's file. Raises ProfileError."""
    if name == SYSTEM and system_profile is not None:
        return profile_parser.parse(system_profile[1], system_profile[0])
    return builtin.load(name)


class TableDifference(NamedTuple):
    """A rule that only one of the two has: `only` is "captured" or "table".

    `capability` is "" if containers without any capability have it, else the one with which it
    appears, or "ALL".
    """

    only: str
    capability: str
    rule: str


def table_name(engine: str, facts: Facts) -> str:
    """Return the profile that `runtime-default` is for this engine without a capture.

    Raises PolicyError.
    """
    return by_engine(schema.defaults(), facts)[0][engine]


def differences_from_table(captured: CapturedProfile, facts: Facts) -> list[TableDifference]:
    """Return every difference, those of containers without capabilities first.

    Raises PolicyError and ProfileError.
    """
    table = of_table(table_name(captured.engine, facts), facts.system_profile)
    return list(_differences(captured.parsed(), table, facts))


def _differences(captured: Profile, table: Profile, facts: Facts) -> Iterator[TableDifference]:
    """Yield what differs for no capability, for each one, and for all; each rule once."""
    seen: set[captured_profile.BlockDifference] = set()
    singles = [(name, frozenset([name])) for name in sorted(CAPABILITIES)]
    for label, caps in [("", frozenset[str]()), *singles, ("ALL", CAPABILITIES)]:
        first, second = (
            captured_profile.resolved(each, caps, facts.arch, facts.kernel)
            for each in (captured, table)
        )
        for found in captured_profile.differences(first, second):
            if found not in seen:
                seen.add(found)
                only = schema.TABLE if found.of else schema.CAPTURED
                yield TableDifference(only, label, found.what)
