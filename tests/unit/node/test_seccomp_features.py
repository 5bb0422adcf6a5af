"""What runtime and kernel can do, and which ABIs run."""

import errno
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from runc_wrap.node import abi_probe, seccomp_features
from runc_wrap.node.installed_programs import InstalledRuntime
from tests.unit.node import machine

LOG, KILLABLE = "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
SPEC_ALLOW = "SECCOMP_FILTER_FLAG_SPEC_ALLOW"


def _of(
    tmp_path: Path, kind: str, version: str, said: object = None, lacks: int = 0
) -> seccomp_features.Features:
    document = json.dumps({"linux": {"seccomp": said}} if said else {})
    path = machine.fake(tmp_path, kind, f"echo '{document}'")
    return seccomp_features.of(InstalledRuntime(path, kind, version), lambda bits: bits != lacks)


def test_runtimes_that_support_flags_are_known(tmp_path: Path) -> None:
    for version, takes in (("1.1.15+ds1", 0), ("1.2.0", 1), ("1.3.0-rc.1", 1), ("odd", 0)):
        assert (LOG in _of(tmp_path, "runc", version).flags) == takes
    assert LOG in _of(tmp_path, "crun", "1.21").flags


def test_the_runtimes_own_statement_counts_if_the_kernel_supports_it(tmp_path: Path) -> None:
    said = {"supportedFlags": [LOG], "actions": ["SCMP_ACT_ERRNO"]}
    found = _of(tmp_path, "runc", "1.2.0", said)
    assert found.flags == {LOG}
    assert found.actions == {"SCMP_ACT_ERRNO"}
    without = _of(tmp_path, "crun", "1.21", lacks=32 | 8).flags
    assert without >= {LOG, SPEC_ALLOW}
    assert KILLABLE not in without
    assert KILLABLE in _of(tmp_path, "crun", "1.21").flags
    assert KILLABLE not in _of(tmp_path, "runc", "1.2.0").flags


def test_the_kernel_accepts_known_flags_and_rejects_unknown_ones() -> None:
    assert seccomp_features.takes(1) is True  # TSYNC, since 3.17
    assert seccomp_features.takes(1 << 30) is False
    before = Path("/proc/self/status").read_text()
    assert seccomp_features.takes(2 | 1) is True
    after = Path("/proc/self/status").read_text()
    seccomp = [line for line in before.splitlines() if line.startswith("Seccomp")]
    assert seccomp == [line for line in after.splitlines() if line.startswith("Seccomp")]


_FILTERED = """
import errno, sys, pyseccomp
found = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
found.add_rule(pyseccomp.ERRNO(getattr(errno, sys.argv[1])), "seccomp")
found.load()
from runc_wrap.node import seccomp_features
seccomp_features.takes(1)
"""


@pytest.mark.parametrize("name", ["EPERM", "ENOSYS"])
def test_a_filter_of_this_process_says_nothing_of_the_kernel(name: str) -> None:
    """A profile without the flag to log would be compiled."""
    done = subprocess.run(
        [sys.executable, "-c", _FILTERED, name], capture_output=True, text=True, check=False
    )
    assert f"ProfileError: seccomp(2) fails with {name}" in done.stderr


def test_the_kernels_features_are_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp_features, "_KERNEL", tmp_path)
    (tmp_path / "actions_avail").write_text("kill_thread errno allow\n")
    (tmp_path / "actions_logged").write_text("errno\n")
    found = _of(tmp_path, "crun", "1.21")
    expected = {"SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"}
    assert found.actions == expected
    assert found.logged == {"errno"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="written for x86_64")
def test_abis_are_detected_by_running_a_program_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    found = abi_probe.runnable("amd64")
    assert found is None or "SCMP_ARCH_X86_64" in found
    assert abi_probe.runnable("riscv64") is None

    left: list[int] = [errno.ENOEXEC, errno.EACCES]

    def fail(*_: object) -> None:
        raise OSError(left[0], "no")

    monkeypatch.setattr("os.execve", fail)
    assert abi_probe.runnable("amd64") == frozenset({"SCMP_ARCH_X86_64"})
    del left[0]
    assert abi_probe.runnable("amd64") is None
