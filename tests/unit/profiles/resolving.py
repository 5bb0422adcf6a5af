"""Helpers from a document or a spec to a container's profile and its filter's answers."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.libseccomp_input import Block, Loader, load
from runc_wrap.filters.kernel import libseccomp_compiler
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import builtin, syscall_names
from runc_wrap.profiles.abis import ABIS, Abi
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import Profile

Json = dict[str, Any]
ADMIN = frozenset({"CAP_SYS_ADMIN"})
RUNC = Loader("runc")
NONE: frozenset[str] = frozenset()
OPS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
needs_libseccomp = pytest.mark.skipif(
    syscall_names.known_to_libseccomp([]) is None or syscall_names.native() is not ABIS["x86_64"],
    reason="expectations are written for x86_64 with libseccomp",
)


def compare(op: str, value: int, two: int = 0, index: int = 0) -> Json:
    """Return one comparison of an argument, as linux.seccomp has it."""
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": two}


def read(document: object) -> Profile:
    """Return the profile in a JSON document."""
    return profile_parser.parse(json.dumps(document).encode(), "own")


def block_of(
    source: Profile | str, bounding: frozenset[str] = NONE, *, arch: str = "amd64"
) -> Json:
    loaded = builtin.load(source) if isinstance(source, str) else source
    return resolve(compile_profile(loaded, arch=arch, kernel=(6, 12)), bounding)


def rules_on(block: Json, name: str) -> list[Json]:
    """Return the rules that name a call, without the other names."""
    found = [rule for rule in block["syscalls"] if name in rule["names"]]
    return [{key: rule[key] for key in rule if key != "names"} for rule in found]


def allowed(block: Json) -> set[str]:
    """Return the names that are allowed whatever their arguments."""
    allow = "SCMP_ACT_ALLOW"
    rules = [rule for rule in block["syscalls"] if rule["action"] == allow]
    return {name for rule in rules if not rule.get("args") for name in rule["names"]}


def program_of(block: Block, loader: Loader = RUNC) -> bpf.Program:
    """Return the filter that libseccomp makes of a block."""
    return bpf.program(libseccomp_compiler.filter_bytes(load(block, loader)))


def answer(program: bpf.Program, abi: Abi, name: str, args: Sequence[int] = ()) -> int:
    """Return what a filter answers to a call with these arguments, and 0 for the others."""
    a, b, c, d, e, f = (*args, *(0,) * (6 - len(args)))
    number = syscall_names.numbers(abi)[name]
    return bpf.evaluate(program, bpf.SeccompData(abi.audit, number, (a, b, c, d, e, f)))
