"""Resolving a compiled profile for a container's bounding capabilities."""

from typing import Any

import pytest

from runc_wrap.hotpath.resolve import resolve

BLOCK = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"]}
RULE = {"names": ["mount"], "action": "SCMP_ACT_ALLOW"}


def _resolve(*caps: str, **conditions: list[str]) -> dict[str, Any]:
    compiled: Any = {
        "name": "p",
        "version": None,
        "block": BLOCK,
        "rules": [{"rule": RULE, **conditions}],
    }
    return resolve(compiled, frozenset(caps))


@pytest.mark.parametrize(
    ("caps", "conditions", "holds"),
    [
        ([], {}, True),
        (["CAP_KILL"], {}, True),
        ([], {"all": ["CAP_BPF"]}, False),
        (["CAP_BPF"], {"all": ["CAP_BPF"]}, True),
        (["CAP_BPF"], {"all": ["CAP_BPF", "CAP_KILL"]}, False),
        (["CAP_BPF", "CAP_KILL"], {"all": ["CAP_BPF", "CAP_KILL"]}, True),
        ([], {"none": ["CAP_BPF", "CAP_KILL"]}, True),
        (["CAP_KILL"], {"none": ["CAP_BPF", "CAP_KILL"]}, False),
        (["CAP_KILL"], {"all": ["CAP_KILL"], "none": ["CAP_BPF"]}, True),
        (["CAP_KILL", "CAP_BPF"], {"all": ["CAP_KILL"], "none": ["CAP_BPF"]}, False),
    ],
)
def test_a_rule_applies_with_all_of_its_capabilities_and_no_excluded_one(
    caps: list[str], conditions: dict[str, list[str]], holds: bool
) -> None:
    assert _resolve(*caps, **conditions)["syscalls"] == ([RULE] if holds else [])


def test_the_block_is_kept_and_syscalls_come_last() -> None:
    resolved = _resolve()
    assert resolved == {**BLOCK, "syscalls": [RULE]}
    assert list(resolved) == ["defaultAction", "architectures", "syscalls"]
    assert "syscalls" not in BLOCK
