"""Comparing two linux.seccomp blocks rule for rule, whatever the order of the rules.

Seccomp rules have no order of their own (libseccomp takes a set), and neither have the names of a
rule; all the rest must be equal: actions, errnos, arguments, architectures, flags, the default.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import platform
from runc_wrap.profiles.arguments.narrowed_comparisons import narrowed
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.profile_compiler import compile_profile

Json = dict[str, Any]


def as_the_kernel_compares(theirs: Json) -> Json:
    """Return an engine's block as we inject it: default.int_arguments is "kernel"."""
    profile = narrowed(profile_parser.parse(json.dumps(theirs).encode(), "theirs")).profile
    compiled = compile_profile(profile, arch=platform.goarch(), kernel=platform.kernel())
    return resolve(compiled, frozenset())


def of_bundle(directory: Path) -> Json:
    """Return the linux.seccomp of a bundle's config.json, {} if there is none."""
    found: Json = json.loads((directory / "config.json").read_text())["linux"].get("seccomp", {})
    return found


def rule(action: str, *names: str, **more: Any) -> Json:
    """Return a profile's rule; the action is without SCMP_ACT_."""
    return {"names": [*names], "action": f"SCMP_ACT_{action}", **more}


def profile(*rules: Json, default: str = "ALLOW", **more: Any) -> Json:
    """Return a profile of these rules."""
    return {"defaultAction": f"SCMP_ACT_{default}", **more, "syscalls": [*rules]}


def equals(index: int, value: int, op: str = "EQ") -> list[Json]:
    """Return the condition of a rule that compares an argument."""
    return [{"index": index, "value": value, "op": f"SCMP_CMP_{op}"}]


def differences(theirs: Json, ours: Json) -> list[str]:
    """Return one line per rule or field that only one side has; none if the blocks are equal."""
    left, right = _lines(theirs), _lines(ours)
    return [
        *(f"only theirs: {line}" for line in sorted((left - right).elements())),
        *(f"only ours:   {line}" for line in sorted((right - left).elements())),
    ]


def _lines(block: Json) -> Counter[str]:
    head = {key: value for key, value in block.items() if key != "syscalls"}
    head["architectures"] = sorted(head.get("architectures", []))
    rules = [{**rule, "names": sorted(rule["names"])} for rule in block["syscalls"]]
    fields = [{key: value} for key, value in head.items()]
    return Counter(json.dumps(entry, sort_keys=True) for entry in [*fields, *rules])
