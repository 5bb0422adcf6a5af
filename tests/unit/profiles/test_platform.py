"""The node's platform, in the terms of profiles."""

import pytest

from runc_wrap.profiles import platform
from runc_wrap.profiles.runtime_spec_names import NATIVE, OCI
from runc_wrap.profiles.source_profile import ProfileError

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


@pytest.mark.parametrize(
    ("release", "kernel"),
    [("6.18.44-fc-v595", (6, 18)), ("4.8", (4, 8)), ("5.10.0-30-amd64", (5, 10))],
)
def test_only_version_and_major_revision_of_a_kernel_count(
    release: str, kernel: tuple[int, int]
) -> None:
    assert platform.kernel(release) == kernel


def test_unknown_machines_are_refused() -> None:
    with pytest.raises(ProfileError, match="the machine 'vax' is not known"):
        platform.goarch("vax")
    with pytest.raises(ProfileError, match="the kernel release 'new' does not begin like"):
        platform.kernel("new")
