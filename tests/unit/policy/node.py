"""A node as policy's compiler sees it, without looking at this machine."""

from __future__ import annotations

import json
from typing import Any

from runc_wrap.policy import schema
from runc_wrap.policy.compiling import Compiled, Facts, compile_policy

PROFILE = b'{"defaultAction": "SCMP_ACT_ALLOW"}'


def facts(**changes: Any) -> Facts:
    usual = {
        "runtime_path": "/usr/sbin/runc",
        "runtime_kind": "runc",
        "runtime_version": "1.1.15",
        "arch": "amd64",
        "kernel": (6, 12),
    }
    return Facts(**{**usual, **changes})


def compiled(settings: dict[str, Any] | None = None, **changes: Any) -> Compiled:
    return compile_policy({**schema.defaults(), **(settings or {})}, facts(**changes))


def profile(**members: Any) -> bytes:
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", **members}).encode()
