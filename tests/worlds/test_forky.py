"""Checks that tests run on another Debian: its programs, and its own root directory."""

import os
import sys
from pathlib import Path

import pytest

from harness.host.processes import installed_version, run

pytestmark = pytest.mark.skipif(
    "RUNC_WRAP_WORLD" not in os.environ, reason="run by make test-forky"
)


def _release() -> str:
    return Path("/etc/os-release").read_text()


def test_the_runtimes_and_engines_are_newer_than_those_of_debian_13() -> None:
    older = {"runc": (1, 1), "containerd": (1, 7), "podman": (5, 4)}
    for name, release in older.items():
        major, minor, _ = installed_version(name).split(".")
        assert (int(major), int(minor)) > release, name
    assert sys.version_info >= (3, 14)


def test_a_process_that_joins_the_mount_namespace_gets_this_root_directory() -> None:
    """As tests of engines do: in a plain chroot they would use this machine's root directory."""
    joined = ["nsenter", f"--mount=/proc/{os.getpid()}/ns/mnt", "cat", "/etc/os-release"]
    assert run(joined).stdout == _release()
    assert "forky" in _release()


def test_no_mount_of_the_hosts_root_directory_is_left() -> None:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    assert [line for line in mounts if "/.outside" in line] == []
