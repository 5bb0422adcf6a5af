"""Which compiled profile a container gets: composed on its engine's default, missing, resolved."""

from pathlib import Path
from typing import Any

import pytest

from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.decision import profile_of
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.resolve import resolve

ON = {"containerd": "x on containerd@2.1.0", "docker": "x on moby@29.0.0"}
POLICY: Any = {"runtime_default": {"containerd": "c", "docker": "m"}, "composed": {"x": ON}}
OLDER: Any = {"runtime_default": {"docker": "m"}}  # a policy without composed profiles


def test_it_is_the_one_on_the_default_of_the_engine_that_calls() -> None:
    for policy, name, engine, profile in (
        (POLICY, "x", "docker", "x on moby@29.0.0"),
        (POLICY, "x", "containerd", "x on containerd@2.1.0"),
        (POLICY, "runtime-default", "docker", "m"),
        (POLICY, "localhost/own.json", "docker", "localhost/own.json"),
        (OLDER, "x", "docker", "x"),
    ):
        assert profile_of(name, engine, policy) == profile


def test_a_missing_profile_is_in_the_configmap_or_compiled_again(tmp_path: Path) -> None:
    policy: Any = {"directory": str(tmp_path), "loaded": {}}
    with pytest.raises(Refusal, match=r"localhost/<file> is a key of the ConfigMap runc-wrap-pro"):
        policy_file.load_profile(policy, "localhost/web.json", "enforce")
    with pytest.raises(Refusal, match=r"is missing\. Run `runc-wrapctl apply` to compile"):
        policy_file.load_profile(policy, "containerd@1.7.24", "enforce")


BLOCK = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"]}
RULE = {"names": ["mount"], "action": "SCMP_ACT_ALLOW"}


def test_the_block_is_kept_and_syscalls_come_last() -> None:
    compiled: Any = {"name": "p", "version": None, "block": BLOCK, "rules": [{"rule": RULE}]}
    resolved = resolve(compiled, frozenset())
    assert resolved == {**BLOCK, "syscalls": [RULE]}
    assert list(resolved) == ["defaultAction", "architectures", "syscalls"]
    assert "syscalls" not in BLOCK
