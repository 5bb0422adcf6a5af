"""A container's state in the kernel, without us and with us."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.containers.bundles import seccomp_of_exec
from harness.kernel import process_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.containers.bundles import Bundle
    from tests.runtime.conftest import Pair

DENY_MKDIR = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 111}],
}


@pytest.mark.parametrize(("command", "flags"), [("create", ()), ("run", ("--detach",))])
def test_a_container_without_a_profile_gets_one(
    pair: Pair, make_bundle: Callable[..., Bundle], command: str, flags: tuple[str, ...]
) -> None:
    bare = make_bundle(pair.kind)
    assert process_status.seccomp(bare.create(pair.bare, command, *flags)) == 0
    wrapped = make_bundle(pair.kind)
    assert process_status.seccomp(wrapped.create(pair.wrapped, command, *flags)) == 2
    assert seccomp_of_exec(wrapped, pair.wrapped) == 2


@pytest.mark.parametrize(
    "seccomp", [None, {}, {"architectures": ["SCMP_ARCH_X86_64"]}], ids=["null", "empty", "blank"]
)
def test_a_config_without_a_profile_for_runc_has_none_for_us(
    runc: Pair, make_bundle: Callable[..., Bundle], seccomp: Any
) -> None:
    bare = make_bundle("runc", seccomp=seccomp)
    assert process_status.seccomp(bare.create(runc.bare)) == 0
    wrapped = make_bundle("runc", seccomp=seccomp)
    assert process_status.seccomp(wrapped.create(runc.wrapped)) == 2


def test_a_container_that_opted_out_is_unchanged(
    pair: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    confined = make_bundle(pair.kind, {"other": "unconfined"})
    assert process_status.seccomp(confined.create(pair.wrapped)) == 2
    bundle = make_bundle(pair.kind, {"runc-wrap/seccomp": "unconfined"})
    before = bundle.config.read_bytes()
    assert process_status.seccomp(bundle.create(pair.wrapped)) == 0
    assert bundle.config.read_bytes() == before


def test_an_existing_profile_is_kept(pair: Pair, make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle(pair.kind, seccomp=DENY_MKDIR)
    before = bundle.config.read_bytes()
    assert process_status.seccomp(bundle.create(pair.wrapped)) == 2
    assert bundle.config.read_bytes() == before


def test_the_owners_profile_denies(pair: Pair, make_bundle: Callable[..., Bundle]) -> None:
    profiles = pair.installed.prefix / "etc" / "profiles"
    (profiles / "sub").mkdir(exist_ok=True)
    (profiles / "sub" / "no-mkdir.json").write_text(json.dumps(DENY_MKDIR))
    pair.installed.control("apply")
    annotations = {"runc-wrap/seccomp": "localhost/sub/no-mkdir.json"}
    said = {}
    for runtime in (pair.bare, pair.wrapped):
        bundle = make_bundle(pair.kind, annotations)
        bundle.create(runtime)
        said[runtime] = bundle.call(runtime, "exec", after=("/bin/mkdir", "/tmp/x"))
    assert said[pair.bare].returncode == 0
    assert "Connection refused" in said[pair.wrapped].stdout  # errno 111


def test_a_precompiled_filter_is_used_by_crun_and_ignored_by_runc(
    pairs: dict[str, Pair], make_bundle: Callable[..., Bundle]
) -> None:
    allow_all = "BgAAAAAA/38="  # one instruction: BPF_RET SECCOMP_RET_ALLOW
    for kind in ("crun", "runc"):
        bundle = make_bundle(kind, {"run.oci.seccomp_bpf_data": allow_all})
        before = bundle.config.read_bytes()
        assert process_status.seccomp(bundle.create(pairs[kind].wrapped)) == 2
        assert (bundle.config.read_bytes() == before) == (kind == "crun")


def test_a_missing_profile_is_an_error_not_an_unconfined_container(
    pair: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(pair.kind, {"runc-wrap/seccomp": "localhost/none.json"})
    done = bundle.call(pair.wrapped, "create")
    assert done.returncode == 1
    assert "localhost/none.json" in done.stdout
    assert bundle.call(pair.bare, "state").returncode == 1


def test_the_second_container_with_the_same_profile_has_the_same_bytes(
    pair: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    first, second = make_bundle(pair.kind), make_bundle(pair.kind)
    for bundle in (first, second):
        bundle.create(pair.wrapped)
    assert json.dumps(first.read()["linux"]["seccomp"]) == json.dumps(
        second.read()["linux"]["seccomp"]
    )
