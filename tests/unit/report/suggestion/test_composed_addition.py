"""A suggestion as a composed profile; the whole way is in tests/unit/cli/test_report.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from runc_wrap.report.suggestion import composed_addition
from runc_wrap.report.suggestion.profile_addition import Suggestion

BLOCK: dict[str, Any] = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}
ADDED = [{"names": ["mbind"], "action": "SCMP_ACT_ALLOW", "comment": "seen once"}]


def _of(*names: str, **changes: Any) -> composed_addition.ComposedAddition | None:
    one: Any = SimpleNamespace(
        profiles=dict.fromkeys(names, 1), filter=SimpleNamespace(block=BLOCK)
    )
    return composed_addition.of(one, Suggestion({**BLOCK, **changes}, ADDED), None)


@pytest.mark.parametrize(
    "names",
    [
        ["localhost/own.json"],  # a node may name any that the policy's owner has
        ["runtime-default + mount"],
        ["containerd@1.7.24", "localhost/own.json"],
        ["unheard-of@1"],
    ],
)
def test_of_what_nodes_say_only_an_engines_default_is_a_base(names: list[str]) -> None:
    assert _of(*names) is None
    found = _of("containerd@1.7.24", "moby@26.1.5")
    assert found is not None
    assert found.text == "runtime-default + mbind"
    assert found.file["base"] == "runtime-default"


def test_another_abi_is_no_addition() -> None:
    assert _of("containerd@1.7.24", architectures=["SCMP_ARCH_X86"]) is None
