"""Compiling and linting the policy: engines' default profiles, accepted names, what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.policy import policy_lint, policy_store
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.policy.runtime_default import SYSTEM
from runc_wrap.policy.settings import schema
from runc_wrap.profiles.arguments import argument_sets
from runc_wrap.profiles.runtime_spec_names import ACTIONS
from tests.unit.policy.node import (
    PROFILE,
    compiled,
    defaults,
    facts,
    in_force,
    load_profile,
    profile,
)

COMMON = "runtime_default.containers_common"
HERE = ("/usr/share/containers/seccomp.json", PROFILE)


def test_the_installed_engine_decides_the_version() -> None:
    engines = {"containerd": "1.7.24", "docker": "26.1.5", "crio": "1.30.1"}
    found = defaults(engines=engines)
    names = [found[engine] for engine in (*engines, UNKNOWN)]
    assert names == ["containerd@1.7.24", "moby@26.1.5", "crio@1.30.1", "containerd@1.7.24"]


LIBRARIES = [
    ("podman", "4.9.5", "0.49.1"),
    ("podman", "5.4.2", "0.60.0"),
    ("podman", "5.8.2", "0.67.0"),
    ("podman", "6.1.0", "0.68.0"),
    ("buildah", "1.43.1", "0.67.0"),
    ("buildah", "1.44.0", "0.68.0"),
]


@pytest.mark.parametrize(("engine", "installed", "common"), LIBRARIES)
def test_podman_and_buildah_have_the_profile_of_the_library_they_are_built_with(
    engine: str, installed: str, common: str
) -> None:
    found = defaults(engines={engine: installed})
    assert found[engine] == f"containers-common@{common}"


SOURCES = [
    ("auto", HERE, SYSTEM),
    ("system", HERE, SYSTEM),
    ("builtin", HERE, "containers-common@0.60.0"),
    ("auto", None, "containers-common@0.60.0"),
    ("0.62.3", HERE, "containers-common@0.62.3"),
]


@pytest.mark.parametrize(("wanted", "system", "profile_name"), SOURCES)
def test_the_systems_file_wins_as_it_does_with_podman_unless_told_otherwise(
    wanted: str, system: tuple[str, bytes] | None, profile_name: str
) -> None:
    found = defaults({COMMON: wanted}, engines={"podman": "5.4.2"}, system_profile=system)
    assert found["podman"] == profile_name


IMPOSSIBLE = [
    ("system", "has no seccomp.json of containers-common; write auto"),
    ("5.4.2", "Podman and Buildah have version numbers of their own: write"),
    ("new", "'new' is not a version"),
    ("0.40", "older than the built-in profiles"),
]


@pytest.mark.parametrize(("wanted", "said"), IMPOSSIBLE)
def test_an_impossible_podman_default_is_refused_with_what_to_write(wanted: str, said: str) -> None:
    with pytest.raises(PolicyError) as told:
        compiled({COMMON: wanted})
    assert said in str(told.value)


def test_all_broken_profiles_are_named_at_once() -> None:
    own = {"a.json": b"{", "b.json": profile(defualt=1), "c.json": PROFILE}
    with pytest.raises(PolicyError) as told:
        compiled(own_profiles=own)
    named = [line.split(": ")[0] for line in str(told.value).splitlines()]
    assert named == ["profile localhost/a.json", "profile localhost/b.json"]


def _read_back(found: Compiled, prefix: Any) -> None:
    policy_store.put_in_force(found, prefix)
    assert in_force(prefix) == found.policy
    for (name, mode), one in found.profiles.items():
        assert load_profile(prefix, name, mode) == one


hostile = st.text("a/.%\u00e9\u4e2d\udcff\n\\ ", max_size=12) | st.builds(
    lambda part, times: part * times,
    st.sampled_from(["a/", "%", "ab", "\u4e2d"]),
    st.integers(1, 130),
)


@given(name=hostile)
@settings(max_examples=60)
def test_a_name_is_accepted_only_if_every_create_finds_it(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    prefix = tmp_path_factory.mktemp("prefix")
    policy_store.put_in_force(compiled(), prefix)
    try:
        found = compiled(own_profiles={name: PROFILE})
    except PolicyError:
        with pytest.raises(Refusal):
            load_profile(prefix, f"localhost/{name}", "enforce")
    else:
        _read_back(found, prefix)


def _all_but_one(**first: Any) -> dict[str, bytes]:
    args = [{"index": 0, "value": 5, "op": "SCMP_CMP_NE"}]
    rule = {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": args}
    allowing = {"names": ["execve"], "action": "SCMP_ACT_ALLOW"}
    rules = [allowing, rule, *([first] if first else [])]
    return {"own.json": profile(defaultAction="SCMP_ACT_ERRNO", syscalls=rules)}


def _said(setting: str, own: dict[str, bytes]) -> list[str]:
    settings = {"default.profile": "localhost/own.json", "default.int_arguments": setting}
    found = compiled(settings, own_profiles=own)
    lines = [*found.remarks, *_lint(found, settings, own_profiles=own)]
    return [line for line in lines if "64 bits" in line or "upper bits" in line]


def test_a_remaining_rule_that_upper_bits_bypass_is_reported() -> None:
    assert _said("kernel", _all_but_one()) == []
    [line] = _said("engine", _all_but_one())
    assert "by setting upper bits (socket;" in line
    below = [{"index": 0, "value": 9, "op": "SCMP_CMP_LT"}]
    denial = {"names": ["socket"], "action": "SCMP_ACT_KILL", "args": below}
    [line] = _said("kernel", _all_but_one(**denial))
    assert "socket: compared as written" in line


def _rule(call: str, action: str, *values: int) -> dict[str, Any]:
    args = [{"index": 0, "value": value, "op": "SCMP_CMP_NE"} for value in values]
    return {"names": [call], "action": f"SCMP_ACT_{action}", "args": args}


def test_a_profile_is_linted_with_the_abis_that_will_be_in_force() -> None:
    own = {"own.json": profile(architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_PARISC"])}
    with pytest.raises(PolicyError, match="PARISC"):
        _check(own_profiles=own)
    assert not any(
        "PARISC" in line for line in _check({"default.abis": "native"}, own_profiles=own)
    )


@pytest.mark.parametrize("over", [{}, {"overlay.deny_sockets": ["AF_ALG"]}])
def test_the_overlay_hides_no_error_of_the_owners_own_rules(over: dict[str, Any]) -> None:
    rules = [_rule("socket", "LOG"), _rule("socket", "KILL_PROCESS", 16)]
    with pytest.raises(PolicyError, match="which never applies"):
        _check(over, own_profiles={"own.json": profile(syscalls=rules)})


FLAGGED = profile(flags=["SECCOMP_FILTER_FLAG_LOG"])
NEEDLESS = profile(syscalls=[{"names": ["mount"], "action": "SCMP_ACT_ALLOW"}])


def _check(settings: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    return _lint(compiled(settings, **changes), settings or {}, **changes)


def _lint(found: Compiled, settings: dict[str, Any], **changes: Any) -> list[str]:
    return policy_lint.check(found, {**schema.defaults(), **settings}, facts(**changes))


def test_the_engines_own_profiles_print_nothing() -> None:
    assert _check() == []
    assert _check({"default.profile": "crio"}) == []


def test_of_a_profile_composed_on_an_engines_only_what_the_owner_changed_is_shown() -> None:
    composed: dict[str, Any] = {"base": "runtime-default", "add": [{"names": ["mbind"]}]}
    assert _check(own_profiles={"a.json": json.dumps(composed).encode()}) == []
    composed["remove"] = [{"names": ["capset"]}]
    for found in (
        _check(own_profiles={"a.json": json.dumps(composed).encode()}),
        _check({"default.profile": "runtime-default - capset"}),
    ):
        assert found
        assert all("denies capset" in one for one in found)


@pytest.mark.parametrize(("engines", "is_here"), [({}, False), ({"podman": "5.8.0"}, True)])
def test_a_profile_that_goes_with_one_engines_default_only_is_refused_with_what_to_write(
    engines: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, is_here: bool
) -> None:
    """Podman 5.8's denies some arguments of socket; the others may be too many to say."""
    monkeypatch.setattr(argument_sets, "MOST_RULES", -1)
    one = {"names": ["socket"], "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_LE"}]}
    own = {"a.json": json.dumps({"base": "runtime-default", "add": [one]}).encode()}
    with pytest.raises(PolicyError, match=r"a.json on containers-common.* to be added") as refused:
        compiled(own_profiles=own, engines=engines)
    lines = [one for one in str(refused.value).splitlines() if "on containers-common" in one]
    advised = {one.endswith("no engine with that default: name another base") for one in lines}
    assert (False in advised) == is_here


def test_a_version_of_an_unread_series_is_remarked_upon() -> None:
    made = compiled({"default.profile": "moby@99", "default.candidate": "containerd@99 + mount"})
    newer = [one for one in made.remarks if "is newer than the built-in profiles" in one]
    assert len(newer) == 2
    assert compiled(engines={"containerd": "99.0"}).remarks == compiled().remarks


def test_what_is_weaker_than_its_text_is_refused_also_as_a_candidate_and_as_a_base() -> None:
    one = {"index": 1, "value": 8, "op": "SCMP_CMP_EQ"}
    kill = {"names": ["ioctl"], "action": "SCMP_ACT_KILL_PROCESS", "args": [one]}
    own = {"a.json": profile(syscalls=[kill, {"names": ["ioctl"], "action": "SCMP_ACT_LOG"}])}
    composed = "localhost/a.json - mount"
    with pytest.raises(PolicyError, match="arguments of ioctl, which never applies") as refused:
        _check({"default.candidate": composed, "default.mode": "enforce"}, own_profiles=own)
    assert f"profile {composed}: syscalls[0]: has SCMP_ACT_KILL_PROCESS" in str(refused.value)


OTHER = [{"runtime_kind": "crun", "runtime_version": "1.21"}, {"runtime_version": "odd"}]


@pytest.mark.parametrize("changes", OTHER)
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


def test_the_systems_file_is_the_owners_only_if_the_policy_names_it_but_never_broken() -> None:
    path = "/etc/containers/seccomp.json"
    system = (path, NEEDLESS)
    assert _check(system_profile=system) == []
    assert len(_check({"default.profile": SYSTEM}, system_profile=system)) == 1
    with pytest.raises(PolicyError, match="containers-common@system: flags"):
        _check(system_profile=(path, FLAGGED))
