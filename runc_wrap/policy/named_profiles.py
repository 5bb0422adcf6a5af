"""The profiles that a policy names, and loading a profile by its name."""

from collections.abc import Iterable, Mapping
from typing import Any

from runc_wrap.hotpath.annotations import LOCALHOST, RUNTIME_DEFAULT
from runc_wrap.hotpath.compiled_policy import CompiledPolicy
from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.hotpath.decision import AS_STRICT, ENFORCE_LOG, form_of, profile_of
from runc_wrap.hotpath.policy_file import file_name
from runc_wrap.policy.compiler_facts import Facts
from runc_wrap.policy.runtime_default import of_table, setting_of
from runc_wrap.policy.settings import schema
from runc_wrap.policy.settings.schema import placing
from runc_wrap.profiles import builtin, captured_profile
from runc_wrap.profiles.captured_profile import CapturedProfile
from runc_wrap.profiles.composition import composed_profile
from runc_wrap.profiles.composition.composed_profile import Composed, Composition
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.source_profile import Profile, ProfileError

ON = " on "  # before the engine's default that stands for runtime-default in a composed profile
_DEEPEST = 8  # profiles that are each the base of the next
_LONGEST_NAME = 200  # characters, as hotpath.policy_file takes it from an annotation
_NAME_MAX = 255  # bytes


def is_owners(name: str) -> bool:
    """Tell whether the owner wrote a profile: a file, or a text that composes one."""
    return name.startswith(LOCALHOST) or composed_profile.is_composed(name)


def named(
    values: Mapping[str, Any], defaults: dict[str, str], facts: Facts
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return {every profile that a container can get: the place that names it, or ""}.

    And {each profile that is composed on runtime-default: {engine: its name there}}: the first has
    it once for each default that engines have.
    """
    place = placing(values)
    found = {LOCALHOST + path: "" for path in facts.own_profiles}
    found |= {name: place(setting_of(engine)) for engine, name in defaults.items()}
    for key in ("profile", "candidate"):
        for table in schema.deciding_tables(values):
            if name := table.written.get(key):
                found.setdefault(str(name), table.place(key))
    found.pop(RUNTIME_DEFAULT, None)
    composed = {
        name: {engine: f"{name}{ON}{default}" for engine, default in defaults.items()}
        for name in found
        if is_on_default(name, facts.own_profiles)
    }
    for name, on in composed.items():
        found |= dict.fromkeys(on.values(), found.pop(name))
    return dict(sorted(found.items())), composed


def enforceable(policy: CompiledPolicy, names: Iterable[str]) -> set[str]:
    """Return the profiles that a container can get enforced, or looked at beside what it gets.

    `names` are those of the policy's profiles, of which annotations choose.
    """
    default, found = policy["default"], set[str]()
    for table in (default, *policy["rules"]):
        candidate = table.get("candidate")
        if candidate or table.get("mode", default["mode"]) in AS_STRICT:
            own = table.get("profile", default["profile"])
            found |= {own, candidate or own}
    if found and policy["opt_out"]["annotations"]:
        found |= {RUNTIME_DEFAULT, *(one for one in names if one.startswith(LOCALHOST))}
    return {
        profile_of(one, engine, policy) for one in found for engine in policy["runtime_default"]
    }


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
    if composed_profile.is_composed(name):
        return composed_profile.parse(name)
    path = name.removeprefix(LOCALHOST)
    data = own_profiles.get(path) if name.startswith(LOCALHOST) else None
    if not data or not composed_profile.has_base(data, path):
        return None
    return composed_profile.parse_file(data, name)


def sources(
    names: dict[str, str],
    defaults: dict[str, str],
    facts: Facts,
    problems: list[str],
    remarks: list[str],
) -> dict[str, Profile]:
    """Return the profiles of these names; append errors to `problems`."""
    found = {}
    here = {defaults[engine] for engine in (UNKNOWN, *facts.engines) if engine in defaults}
    for name, place in names.items():
        try:
            _check_name(name)
            found[name] = of_facts(name, facts)
        except ProfileError as error:
            is_absent = ON in name and name.rpartition(ON)[2] not in here
            more = "; this node has no engine with that default: name another base" * is_absent
            problems.append(f"{place}profile {name}: {error}{more}")
        try:
            builtin.check_known("" if name in defaults.values() else name.partition(ON)[0])
        except ProfileError as error:
            remarks.append(f"warning: {place}profile {name}: {error}.")
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
        if name == RUNTIME_DEFAULT:
            if not default:
                raise ProfileError(f"{name} can only be the base, and is not added")
            return part(default, depth - 1, name)
        if what := _composition(name, own_profiles):
            if depth <= 0:
                raise ProfileError(
                    f"{name}: a chain of more than {_DEEPEST} bases leads to it, or a circle of "
                    "them; name a base that is not composed"
                )
            return composed_profile.made(name, what, lambda other: part(other, depth - 1, name))
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
    if not name.startswith(LOCALHOST):
        return of_table(name, system_profile)
    path = name.removeprefix(LOCALHOST)
    if path not in own_profiles:
        raise ProfileError(
            f"there is no file {path} in the profile directory"
            f"{by and f', which {by} names'}; it has "
            f"{', '.join(sorted(own_profiles)) or 'no files'}."
        )
    return profile_parser.parse(own_profiles[path], path)


def _load_captured(name: str, captured: dict[str, CapturedProfile]) -> Profile:
    engine = name.partition("@")[0]
    found = captured.get(engine)
    if found is None or name not in (found.name, f"{engine}{captured_profile.MARK}"):
        there = ", ".join(sorted(one.name for one in captured.values())) or "none"
        raise ProfileError(f"no such profile is captured; captured are: {there}")
    if found.stale:
        raise ProfileError(f"{found.stale}; run `runc-wrapctl profile capture {engine}`")
    return found.parsed()
