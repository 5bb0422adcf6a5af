"""Compiling a profile for one machine, into the form that `runc_wrap.hotpath.resolve` reads.

Conditions on architecture and kernel are resolved here, those on capabilities at each create.
"""

from typing import Any

from runc_wrap.hotpath.compiled_policy import CompiledProfile, CompiledRule
from runc_wrap.profiles.runtime_spec_names import NATIVE
from runc_wrap.profiles.source_profile import (
    Argument,
    Condition,
    Kernel,
    Profile,
    ProfileError,
    Rule,
)

Json = dict[str, Any]


def compile_profile(profile: Profile, *, arch: str, kernel: Kernel) -> CompiledProfile:
    """Return the compiled form for a machine: `arch` is a GOARCH, `kernel` its (version, major).

    runc_wrap.hotpath.resolve describes the form. Raises ProfileError for an unknown arch.
    """
    if arch not in NATIVE:
        known = " ".join(sorted(NATIVE))
        raise ProfileError(f"the architecture {arch!r} is not known; known are: {known}")
    block: Json = {  # linux.seccomp without syscalls, its keys in the runtime-spec's order
        "defaultAction": profile.default_action,
        "defaultErrnoRet": profile.default_errno_ret,
        "architectures": [*profile.abis(arch)] or None,
        "flags": None if profile.flags is None else [*profile.flags],
        "listenerPath": profile.listener_path,
        "listenerMetadata": profile.listener_metadata,
    }
    return {
        "name": profile.name,
        "version": profile.version,
        "block": {key: value for key, value in block.items() if value is not None},
        "rules": [_entry(rule) for rule in profile.rules if holds(rule, arch, kernel)],
    }


def holds(rule: Rule, arch: str, kernel: Kernel) -> bool:
    """Tell whether a rule is in force on a machine, whatever the capabilities."""
    native = NATIVE[arch]
    wanted, unwanted = rule.includes, rule.excludes
    return (
        (not wanted.arches or native in wanted.arches)
        and native not in unwanted.arches
        and _is_at_least(kernel, wanted, default=True)
        and not _is_at_least(kernel, unwanted, default=False)
    )


def _is_at_least(kernel: Kernel, condition: Condition, *, default: bool) -> bool:
    return default if condition.min_kernel is None else kernel >= condition.min_kernel


def _entry(rule: Rule) -> CompiledRule:
    syscall: Json = {"names": [*rule.names], "action": rule.action}
    if rule.errno_ret is not None:
        syscall["errnoRet"] = rule.errno_ret
    if rule.args:
        syscall["args"] = [argument(one) for one in rule.args]
    entry: CompiledRule = {"rule": syscall}
    if rule.includes.caps:
        entry["all"] = [*rule.includes.caps]
    if rule.excludes.caps:
        entry["none"] = [*rule.excludes.caps]
    return entry


def argument(one: Argument) -> Json:
    """Return a comparison as the runtime-spec writes it."""
    second = {"valueTwo": one.value_two} if one.value_two else {}
    return {"index": one.index, "value": one.value, **second, "op": one.op}
