"""Resolving a compiled profile for a container's bounding capabilities."""

from typing import Any

from runc_wrap.hotpath.resolve import resolve

BLOCK = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"]}
RULE = {"names": ["mount"], "action": "SCMP_ACT_ALLOW"}


def test_the_block_is_kept_and_syscalls_come_last() -> None:
    compiled: Any = {"name": "p", "version": None, "block": BLOCK, "rules": [{"rule": RULE}]}
    resolved = resolve(compiled, frozenset())
    assert resolved == {**BLOCK, "syscalls": [RULE]}
    assert list(resolved) == ["defaultAction", "architectures", "syscalls"]
    assert "syscalls" not in BLOCK
