"""Objects of security-profiles-operator, as kubectl prints them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.source_profile import ProfileError, Rule

KIND = {"apiVersion": "security-profiles-operator.x-k8s.io/v1", "kind": "SeccompProfile"}
SPEC: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 0},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ],
}
META = {"metadata": {"name": "x", "uid": "1"}, "status": {"status": "Installed"}}


def _parsed(**changes: Any) -> Any:
    return profile_parser.parse(
        json.dumps({**KIND, **META, "spec": SPEC, **changes}).encode(), "x.json"
    )


def test_the_spec_is_the_profile_and_an_errno_of_0_is_none() -> None:
    found = _parsed(spec={**SPEC, "targetWorkload": "w", "disabled": False})
    assert found.architectures == ("SCMP_ARCH_X86_64",)
    assert found.rules == (
        Rule(("read",), "SCMP_ACT_ALLOW"),
        Rule(("clone3",), "SCMP_ACT_ERRNO", 38),
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kind": "List"}, "kind: found 'List'.*wanted one SeccompProfile.*kubectl get"),
        ({"apiVersion": "example.com/v1"}, "of 'example.com/v1', wanted one"),
        ({"spec": None}, "spec: missing"),
        ({"spec": {**SPEC, "baseProfileName": "runc-v1"}}, "the operator adds 'runc-v1', which"),
        ({"spec": {**SPEC, "disabled": True}}, "spec.disabled: the operator installs no such"),
        ({"spec": {**SPEC, "more": 1}}, "more: the key is not known"),
    ],
)
def test_what_is_no_whole_profile_is_refused_with_its_place(
    changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ProfileError, match=why):
        _parsed(**changes)
