"""Compiling the policy: from settings and facts about the node to what the hot path reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from runc_wrap.hotpath.compiled_policy import CompiledPolicy, CompiledProfile, Default, OptOut
from runc_wrap.hotpath.decision import ADOPT_NONE, AUDIT, ENFORCE, OBSERVE, OFF, RECORD, RECORDING
from runc_wrap.hotpath.policy_file import VERSION
from runc_wrap.policy import (
    candidate_settings,
    named_profiles,
    overlay_bypasses,
    overlay_settings,
    required_features,
)
from runc_wrap.policy.candidate_settings import CandidateCost, Pair
from runc_wrap.policy.compiler_facts import Facts, PolicyError
from runc_wrap.policy.runtime_default import by_engine, engine_defaults
from runc_wrap.policy.settings import rule_checks, schema
from runc_wrap.profiles.arguments import narrowed_comparisons
from runc_wrap.profiles.arguments.narrowed_comparisons import Narrowed
from runc_wrap.profiles.mode_profiles import modes
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import Profile

_DEFAULT = ("profile", "mode", "adopt", "record", "candidate")
_OPT_OUT = ("annotations", "namespaces", "images", "late")


@dataclass(frozen=True)
class Compiled:
    """A policy to put in force, and its sources.

    `profiles` are the compiled ones by (name, Decision.form), `sources` by name before that.
    `narrowed` lists for each profile the calls whose arguments are compared only in the bits that
    the kernel uses, not in all as written. `remarks` are
    for the owner, one line each. `engine_defaults` names for each engine what counts as its default
    in a config; `as_applied` has these compiled as the engines apply them. `pairs` are profiles and
    the candidates beside them, `previews` what apply.candidate_profiles made of each.
    Of the policy in force (policy_store.in_force) there are neither profiles nor pairs, and of
    `sources` only the names.
    """

    policy: CompiledPolicy
    profiles: dict[tuple[str, str], CompiledProfile]
    sources: dict[str, Profile]
    remarks: tuple[str, ...] = ()
    narrowed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    engine_defaults: dict[str, list[str]] = field(default_factory=dict)
    as_applied: dict[str, CompiledProfile] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    previews: dict[Pair, CandidateCost] = field(default_factory=dict)


def compile_policy(values: Mapping[str, Any], facts: Facts) -> Compiled:
    """Return the compiled form. Raises PolicyError, which names every problem."""
    runtime_default, remarks = by_engine(values, facts)
    rules = values[schema.RULES]
    used = _modes(values)
    problems = [
        *required_features.problems(values, used, facts),
        *overlay_settings.problems(values),
        *candidate_settings.problems(values),
    ]
    names, composed = named_profiles.named(values, runtime_default, facts)
    sources = named_profiles.sources(names, runtime_default, facts, problems, remarks)
    if problems:
        raise PolicyError("\n".join(problems))
    made = {name: compared(source, values) for name, source in sources.items()}
    profiles = {
        (name, form): _profile(one, form, values, facts)
        for name, one in made.items()
        for form in (*used, *(f"{mode}{RECORD}" for mode in _recorded_modes(values)))
    }
    place = schema.placing(values)
    remarks += [
        *rule_checks.remarks(rules, place, facts.now),
        *required_features.remarks(values, used, sources, facts),
        *overlay_bypasses.remarks(values, profiles, facts.arch),
    ]
    narrowed = {name: one.calls for name, one in made.items() if one.calls}
    policy = _policy(values, runtime_default, facts)
    if composed:
        policy["composed"] = composed
    defaults = engine_defaults(values, facts)
    if any(one.effective["adopt"] != ADOPT_NONE for one in schema.deciding_tables(values)):
        policy["adoption"] = {"profiles": defaults, "within": {}}  # see policy.adoption
    pairs = candidate_settings.pairs(policy)
    remarks += candidate_settings.remarks(pairs)
    applied = _as_applied(defaults, facts)
    return Compiled(policy, profiles, sources, tuple(remarks), narrowed, defaults, applied, pairs)


def enforced(source: Profile, values: Mapping[str, Any], facts: Facts) -> CompiledProfile:
    """Return a profile as the policy enforces it."""
    return _profile(compared(source, values), ENFORCE, values, facts)


def with_abis(source: Profile, values: Mapping[str, Any], facts: Facts) -> Profile:
    """Return a profile with the policy's ABIs, its rules at the same places."""
    kept = {"native": frozenset[str](), "kernel": facts.abis}.get(values["default.abis"])
    return source if kept is None else modes.with_abis(source, facts.arch, kept)


def compared(source: Profile, values: Mapping[str, Any]) -> Narrowed:
    """Return a profile as the policy has its arguments compared."""
    return narrowed_comparisons.as_set(source, values["default.int_arguments"])


def _as_applied(defaults: Mapping[str, list[str]], facts: Facts) -> dict[str, CompiledProfile]:
    """Compile the engines' default profiles as the engines apply them, to recognize these.

    Raises ProfileError.
    """
    made = {}
    for name in sorted({name for listed in defaults.values() for name in listed}):
        source = named_profiles.of_facts(name, facts)
        made[name] = compile_profile(source, arch=facts.arch, kernel=facts.kernel)
    return made


def _modes(values: Mapping[str, Any]) -> list[str]:
    """Return the modes that a container can get, always including enforce."""
    used = {ENFORCE, *(one.effective["mode"] for one in schema.deciding_tables(values))}
    if values["default.privileged"] == AUDIT or OBSERVE in used:
        used.add(AUDIT)
    return sorted(used - {OFF})


def _recorded_modes(values: Mapping[str, Any]) -> list[str]:
    """Return the modes of the containers whose allowed calls are recorded."""
    tables = [one.effective for one in schema.deciding_tables(values)]
    return sorted({one["mode"] for one in tables if one["record"]}.intersection(RECORDING))


def _profile(made: Narrowed, form: str, values: Mapping[str, Any], facts: Facts) -> CompiledProfile:
    """Compile a profile: first the ABIs, then the mode, the overlay, and what is recorded."""
    mode = form.removesuffix(RECORD)
    chosen = with_abis(made.profile, values, facts)
    listener = modes.AgentListener(facts.listener, modes.KILLABLE_FLAG in facts.flags)
    compiled = modes.compiled(chosen, mode, arch=facts.arch, kernel=facts.kernel, listener=listener)
    overlaid = overlay_settings.put_on(compiled, overlay_settings.overlay(values))
    if mode != form:
        overlaid = modes.recorded(overlaid, mode, listener)
    return {**overlaid, "narrowed": list(made.calls)} if made.calls else overlaid


def _default(values: Mapping[str, Any]) -> Default:
    found = {key: values[f"default.{key}"] for key in _DEFAULT}
    left_out = (None, False, ADOPT_NONE)  # what a create takes for a missing one
    return cast("Default", {key: value for key, value in found.items() if value not in left_out})


def _policy(
    values: Mapping[str, Any], runtime_default: dict[str, str], facts: Facts
) -> CompiledPolicy:
    return {
        "version": VERSION,
        "compiled": facts.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "runtime": {
            "path": facts.runtime_path,
            "kind": facts.runtime_kind,
            "version": facts.runtime_version,
        },
        "on_error": values["on_error"],
        "restore": values["restore"],
        "default": _default(values),
        "privileged": values["default.privileged"],
        "engine": values["runtime_default.engine"],
        "runtime_default": runtime_default,
        "opt_out": cast("OptOut", {key: values[f"opt_out.{key}"] for key in _OPT_OUT}),
        "rules": candidate_settings.written(rule_checks.compiled(values[schema.RULES]), values),
        "overlay": overlay_settings.overlay(values),
    }
