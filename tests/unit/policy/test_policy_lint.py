"""Linting at apply: errors refuse the policy; only warnings on the owner's profiles are shown."""

import json
from typing import Any

import pytest

from runc_wrap.policy import policy_lint
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.runtime_default import SYSTEM
from runc_wrap.profiles.runtime_spec_names import ACTIONS
from tests.unit.policy.node import compiled, facts, profile

FLAGGED = profile(flags=["SECCOMP_FILTER_FLAG_LOG"])
NEEDLESS = profile(syscalls=[{"names": ["mount"], "action": "SCMP_ACT_ALLOW"}])


def _check(settings: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    return policy_lint.check(compiled(settings, **changes), facts(**changes))


def test_the_engines_own_profiles_print_nothing() -> None:
    assert _check() == []
    assert _check({"default.profile": "crio"}) == []


def test_of_a_profile_composed_on_an_engines_only_what_the_owner_changed_is_shown() -> None:
    composed: dict[str, Any] = {"base": "runtime-default", "add": [{"names": ["mbind"]}]}
    assert _check(own_profiles={"a.json": json.dumps(composed).encode()}) == []
    composed["remove"] = [{"names": ["capset"]}]
    found = _check(own_profiles={"a.json": json.dumps(composed).encode()})
    assert found
    assert all("denies capset" in one for one in found)


def test_an_error_refuses_the_policy_and_names_file_place_and_remedy() -> None:
    with pytest.raises(PolicyError) as told:
        _check(own_profiles={"a.json": FLAGGED, "b.json": FLAGGED})
    assert str(told.value).splitlines()[0] == (
        "profile localhost/a.json: flags: runc 1.1.15 refuses every profile with flags; "
        "remove flags, or install runc 1.2."
    )
    assert len(str(told.value).splitlines()) == 2


def test_what_is_weaker_than_its_text_is_refused_also_as_a_candidate_and_as_a_base() -> None:
    one = {"index": 1, "value": 8, "op": "SCMP_CMP_EQ"}
    kill = {"names": ["ioctl"], "action": "SCMP_ACT_KILL_PROCESS", "args": [one]}
    own = {"a.json": profile(syscalls=[kill, {"names": ["ioctl"], "action": "SCMP_ACT_LOG"}])}
    composed = "localhost/a.json - mount"
    with pytest.raises(PolicyError, match="arguments of ioctl, which never applies") as refused:
        _check({"default.candidate": composed, "default.mode": "enforce"}, own_profiles=own)
    assert f"profile {composed}: syscalls[0]: has SCMP_ACT_KILL_PROCESS" in str(refused.value)


@pytest.mark.parametrize(
    "changes", [{"runtime_kind": "crun", "runtime_version": "1.21"}, {"runtime_version": "odd"}]
)
def test_an_error_of_old_runc_only_does_not_affect_other_runtimes(changes: Any) -> None:
    assert _check(own_profiles={"a.json": FLAGGED}, **changes) == []


def test_features_that_runtime_or_kernel_lack_are_refused() -> None:
    logging = profile(syscalls=[{"names": ["mount"], "action": "SCMP_ACT_LOG"}])
    crun: dict[str, Any] = {"runtime_kind": "crun", "runtime_version": "1.21"}
    with pytest.raises(PolicyError, match=r"a\.json: syscalls: crun 1\.21 or this kernel"):
        _check(own_profiles={"a.json": logging}, actions=ACTIONS - {"SCMP_ACT_LOG"}, **crun)
    flags = frozenset({"SECCOMP_FILTER_FLAG_TSYNC"})
    with pytest.raises(PolicyError, match="does not support SECCOMP_FILTER_FLAG_LOG; remove it"):
        _check(own_profiles={"a.json": FLAGGED}, flags=flags, **crun)


def test_a_remark_on_the_owners_profile_is_shown() -> None:
    [remark] = _check(own_profiles={"a.json": NEEDLESS})
    assert remark.startswith("note: profile localhost/a.json: syscalls[0]: has the effect of the ")
    assert remark.endswith("; remove the rule, or give it another action or error.")


def test_the_systems_file_counts_as_the_owners_only_if_the_policy_names_it() -> None:
    system = ("/etc/containers/seccomp.json", NEEDLESS)
    assert _check(system_profile=system) == []
    assert len(_check({"default.profile": SYSTEM}, system_profile=system)) == 1


def test_an_error_in_the_systems_file_also_refuses_the_policy() -> None:
    system = ("/etc/containers/seccomp.json", FLAGGED)
    with pytest.raises(PolicyError, match="containers-common@system: flags"):
        _check(system_profile=system)
