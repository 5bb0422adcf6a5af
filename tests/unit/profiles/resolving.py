"""Helpers from a spec to a container's profile, shared by the tests of profiles."""

from typing import Any

import pytest

from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import builtin, syscall_names
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import Kernel, Profile

Json = dict[str, Any]
ADMIN = frozenset({"CAP_SYS_ADMIN"})
NONE: frozenset[str] = frozenset()
OPERATORS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
needs_libseccomp = pytest.mark.skipif(
    syscall_names.known_to_libseccomp([]) is None or syscall_names.native() is not ABIS["x86_64"],
    reason="expectations are written for x86_64 with libseccomp",
)


def compare(op: str, value: int, two: int = 0, index: int = 0) -> Json:
    """Return one comparison of an argument, as linux.seccomp has it."""
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": two}


def block_of(
    profile: Profile | str,
    bounding: frozenset[str] = NONE,
    *,
    arch: str = "amd64",
    kernel: Kernel = (6, 12),
) -> Json:
    loaded = builtin.load(profile) if isinstance(profile, str) else profile
    return resolve(compile_profile(loaded, arch=arch, kernel=kernel), bounding)


def rules_on(block: Json, name: str) -> list[Json]:
    """Return the rules that name a call, without the other names."""
    found = [rule for rule in block["syscalls"] if name in rule["names"]]
    return [{key: rule[key] for key in rule if key != "names"} for rule in found]


def allowed(block: Json) -> set[str]:
    """Return the names that are allowed whatever their arguments."""
    allow = "SCMP_ACT_ALLOW"
    rules = [rule for rule in block["syscalls"] if rule["action"] == allow]
    return {name for rule in rules if not rule.get("args") for name in rule["names"]}
