"""A simulated node for the policy's compiler, independent of this machine."""

import json
from pathlib import Path
from typing import Any

from runc_wrap.hotpath import policy_file
from runc_wrap.policy.compiler_facts import Facts
from runc_wrap.policy.policy_compiler import Compiled, compile_policy
from runc_wrap.policy.settings import schema

PROFILE = b'{"defaultAction": "SCMP_ACT_ALLOW"}'


def facts(**changes: Any) -> Facts:
    usual = {"runtime_path": "/usr/sbin/runc", "runtime_kind": "runc", "runtime_version": "1.1.15"}
    return Facts(**{**usual, "arch": "amd64", "kernel": (6, 12), **changes})


def compiled(settings: dict[str, Any] | None = None, **changes: Any) -> Compiled:
    return compile_policy({**schema.defaults(), **(settings or {})}, facts(**changes))


def defaults(settings: dict[str, Any] | None = None, **changes: Any) -> dict[str, str]:
    return dict(compiled(settings, **changes).policy["runtime_default"])


def policies(prefix: Path) -> Path:
    """Return the directory of one installation's compiled policies."""
    return prefix / "var/policy.2"


def in_force(prefix: Path) -> dict[str, Any]:
    """Return the policy that the hot path reads, without where it lies: checked here."""
    found: dict[str, Any] = dict(policy_file.load(str(prefix)))
    directory = Path(found.pop("directory"))
    assert directory.parent == policies(prefix)
    assert directory.name.isdecimal()
    assert found.pop("loaded") == {}
    found.pop("seen")
    return found


def load_profile(prefix: Path, name: str, mode: str) -> dict[str, Any]:
    """Return a profile of the policy in force as the hot path reads it."""
    return dict(policy_file.load_profile(policy_file.load(str(prefix)), name, mode))


def profile(**members: Any) -> bytes:
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", **members}).encode()
