"""Compiling a profile for one machine, into the form that `runc_wrap.hotpath.resolve` reads.

Conditions on architecture and kernel are resolved here, those on capabilities at each create.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runc_wrap.profiles.runtime_spec_names import NATIVE
from runc_wrap.profiles.source_profile import (
    Argument,
    Condition,
    Kernel,
    Profile,
    ProfileError,
    Rule,
)

if TYPE_CHECKING:
    from runc_wrap.hotpath.compiled_policy import CompiledProfile, CompiledRule

Json = dict[str, Any]


def compile_profile(profile: Profile, *, arch: str, kernel: Kernel) -> CompiledProfile:
    """Return the compiled form for a machine: `arch` is a GOARCH, `kernel` its (version, major).

    runc_wrap.hotpath.resolve describes the form. Raises ProfileError for an unknown arch.
    """
    if arch not in NATIVE:
        known = " ".join(sorted(NATIVE))
        raise ProfileError(f"the architecture {arch!r} is not known; known are: {known}")
    rules = [_entry(rule) for rule in profile.rules if holds(rule, arch, kernel)]
    return {
        "name": profile.name,
        "version": profile.version,
        "block": _block(profile, arch),
        "rules": rules,
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


def _block(profile: Profile, arch: str) -> Json:
    """Return linux.seccomp without syscalls, its keys in the runtime-spec's order, none empty."""
    block: Json = {"defaultAction": profile.default_action}
    if profile.default_errno_ret is not None:
        block["defaultErrnoRet"] = profile.default_errno_ret
    if architectures := profile.architectures or profile.arch_map.get(arch):
        block["architectures"] = list(architectures)
    if profile.flags is not None:
        block["flags"] = list(profile.flags)
    if profile.listener_path is not None:
        block["listenerPath"] = profile.listener_path
    if profile.listener_metadata is not None:
        block["listenerMetadata"] = profile.listener_metadata
    return block


def _entry(rule: Rule) -> CompiledRule:
    entry: CompiledRule = {"rule": _syscall(rule)}
    if rule.includes.caps:
        entry["all"] = list(rule.includes.caps)
    if rule.excludes.caps:
        entry["none"] = list(rule.excludes.caps)
    return entry


def _syscall(rule: Rule) -> Json:
    syscall: Json = {"names": list(rule.names), "action": rule.action}
    if rule.errno_ret is not None:
        syscall["errnoRet"] = rule.errno_ret
    if rule.args:
        syscall["args"] = [_argument(argument) for argument in rule.args]
    return syscall


def _argument(argument: Argument) -> Json:
    comparison: Json = {"index": argument.index, "value": argument.value}
    if argument.value_two:
        comparison["valueTwo"] = argument.value_two
    comparison["op"] = argument.op
    return comparison
