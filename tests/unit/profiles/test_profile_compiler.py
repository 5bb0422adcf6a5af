"""Compiling for a machine, and the hot path's result from the compiled form."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.profiles import builtin, platform
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.runtime_spec_names import NATIVE, OCI
from runc_wrap.profiles.source_profile import ProfileError
from tests.unit.profiles import strategies
from tests.unit.profiles.resolving import allowed, block_of, read

ENGINES = ["containerd", "containerd@1.6.0", "moby", "containers-common", "crio"]


@given(st.sampled_from(ENGINES), strategies.bounding, strategies.bounding)
def test_more_capabilities_never_allow_fewer_names(
    spec: str, bounding: frozenset[str], more: frozenset[str]
) -> None:
    assert allowed(block_of(spec, bounding)) <= allowed(block_of(spec, bounding | more))


@given(strategies.moby_profiles(), strategies.bounding)
def test_a_rule_applies_with_all_included_and_no_excluded_capability(
    document: dict[str, Any], bounding: frozenset[str]
) -> None:
    expected = [
        rule["names"]
        for rule in document["syscalls"]
        if bounding >= set(rule["includes"]["caps"])
        and not bounding & set(rule["excludes"]["caps"])
    ]
    resolved = block_of(read(document), bounding)
    assert [rule["names"] for rule in resolved["syscalls"]] == expected


CONDITIONS = [
    ({"includes": {"arches": ["amd64", "x32"]}}, "amd64", (6, 12), True),
    ({"includes": {"arches": ["amd64", "x32"]}}, "arm64", (6, 12), False),
    ({"excludes": {"arches": ["x86"]}}, "386", (6, 12), False),
    ({"excludes": {"arches": ["x86"]}}, "amd64", (6, 12), True),
    ({"includes": {"arches": ["loongarch64"]}}, "loong64", (6, 12), True),
    ({"includes": {"minKernel": "4.8"}}, "amd64", (4, 7), False),
    ({"includes": {"minKernel": "4.8"}}, "amd64", (4, 8), True),
    ({"includes": {"minKernel": "4.8"}}, "amd64", (4, 10), True),
    ({"excludes": {"minKernel": "5.0"}}, "amd64", (4, 19), True),
    ({"excludes": {"minKernel": "5.0"}}, "amd64", (5, 0), False),
    ({"includes": {}, "excludes": None}, "amd64", (6, 12), True),
]


@pytest.mark.parametrize(("condition", "arch", "kernel", "holds"), CONDITIONS)
def test_architecture_and_kernel_are_decided_when_compiling(
    condition: dict[str, Any], arch: str, kernel: tuple[int, int], holds: bool
) -> None:
    rule = {"names": ["read"], "action": "SCMP_ACT_ALLOW", **condition}
    document = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}
    compiled = compile_profile(read(document), arch=arch, kernel=kernel)
    assert bool(compiled["rules"]) is holds
    assert all(set(entry) == {"rule"} for entry in compiled["rules"])


def test_arch_map_lists_the_machine_and_its_compatible_abis() -> None:
    document = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": None},
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32"]},  # not this
        ],
    }
    profile = read(document)
    assert block_of(profile)["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert block_of(profile, arch="riscv64")["architectures"] == ["SCMP_ARCH_RISCV64"]
    assert "architectures" not in block_of(profile, arch="arm64")


MACHINES = """
    x86_64:amd64 i386:386 i686:386 aarch64:arm64 armv7l:arm armv6l:arm armv5tel:arm armv8l:arm
    ppc64le:ppc64le s390x:s390x riscv64:riscv64 loongarch64:loong64
"""


@pytest.mark.parametrize("machine", MACHINES.split())
def test_the_kernels_name_of_a_machine_becomes_gos(machine: str) -> None:
    name, goarch = machine.split(":")
    assert platform.goarch(name) == goarch
    assert {goarch} <= {*NATIVE} & {*OCI}


def test_mips_is_distinguished_by_byte_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for order, expected in (("little", "mips64le"), ("big", "mips64")):
        monkeypatch.setattr("sys.byteorder", order)
        assert platform.goarch("mips64") == expected


def test_only_version_and_major_revision_of_a_kernel_count() -> None:
    releases = ("6.18.44-fc-v595", "4.8", "5.10.0-30-amd64")
    assert [*map(platform.kernel, releases)] == [(6, 18), (4, 8), (5, 10)]


def test_unknown_machines_are_refused() -> None:
    with pytest.raises(ProfileError, match="the architecture 'x86_64' is not known"):
        compile_profile(builtin.load("moby"), arch="x86_64", kernel=(6, 12))
    with pytest.raises(ProfileError, match="the machine 'vax' is not known"):
        platform.goarch("vax")
    with pytest.raises(ProfileError, match="the kernel release 'new' does not begin like"):
        platform.kernel("new")
