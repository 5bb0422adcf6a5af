import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.report import argument_names, linux_constants

HEADERS = Path("/usr/include/linux")
FCNTL = {n: name for n, name in linux_constants.FCNTL.items() if "64" not in name}


NAMED = [
    ("unshare", (0x10000000 | 0x20000,), "CLONE_NEWNS|CLONE_NEWUSER"),
    ("clone", (0x10000000 | 17,), "CLONE_NEWUSER|SIGCHLD"),
    ("clone3", (0x80,), "CLONE_NEWTIME"),
    ("setns", (None, 0x40000000), "…, CLONE_NEWNET"),
    ("socket", (40, 1, 0), "AF_VSOCK, SOCK_STREAM, 0"),
    ("socket", (38 | 1 << 32, 0x80005, 0), "AF_ALG|0x100000000, SOCK_SEQPACKET|SOCK_CLOEXEC, 0"),
    ("socket", (16, 3, 9), "AF_NETLINK, SOCK_RAW, NETLINK_AUDIT"),
    ("socket", (4000, 77, 3), "0xfa0, 0x4d, 3"),
    ("personality", (0x40000,), "PER_LINUX|ADDR_NO_RANDOMIZE"),
    ("personality", (8,), "PER_LINUX32"),
    ("ioctl", (None, 0x5412), "…, TIOCSTI"),
    ("ioctl", (None, 0xDEAD), "…, 0xdead"),
    ("prctl", (0x59616D61,), "PR_SET_PTRACER"),
    ("keyctl", (1,), "KEYCTL_JOIN_SESSION_KEYRING"),
    ("mount", (None, None, None, 0x5000), "…, …, …, MS_BIND|MS_REC"),
    ("unshare", (None,), ""),
    ("getpid", (1, 2), ""),
]


@pytest.mark.parametrize(("name", "args", "told"), NAMED)
def test_arguments_are_named_as_strace_does(name: str, args: Any, told: str) -> None:
    assert argument_names.arguments(name, args) == told


ANY = st.one_of(st.none(), st.integers(0, 2**64 - 1))


@given(st.sampled_from(sorted(linux_constants.ARGUMENTS)), st.lists(ANY, max_size=6))
def test_whatever_a_program_passes_is_one_harmless_line(name: str, args: list[int | None]) -> None:
    told = argument_names.arguments(name, tuple(args))
    assert re.fullmatch(r"[\w|, …]*", told)


def test_newer_calls_have_the_kernels_names() -> None:
    assert argument_names.syscall("#470") == "#470 (listns)"
    assert argument_names.syscall("#5000") == "#5000"


TABLES = [
    ("sched.h", "CLONE_", linux_constants.CLONE),
    ("netlink.h", "NETLINK_", linux_constants.NETLINK),
    ("keyctl.h", "KEYCTL_", linux_constants.KEYCTL),
    ("prctl.h", "PR_", linux_constants.PRCTL),
    ("ptrace.h", "PTRACE_", linux_constants.PTRACE),
    ("bpf.h", "BPF_", linux_constants.BPF),
    ("mount.h", "MS_", linux_constants.MOUNT),
    ("fcntl.h", "F_", FCNTL),
    ("net.h", "SYS_", linux_constants.SOCKETCALL),
]


@pytest.mark.parametrize(("header", "prefix", "names"), TABLES)
def test_the_table_is_the_kernel_headers_own(
    header: str, prefix: str, names: dict[int, str], tmp_path: Path
) -> None:
    """A compiler checks each name's number with this machine's headers."""
    compiler = shutil.which("cc")
    if compiler is None or not (HEADERS / header).exists():
        pytest.skip("neither compiler nor kernel headers")
    assert all(name.startswith(prefix) for name in names.values())
    checks = [f'_Static_assert(({name}) == {of}ULL, "{name}");' for of, name in names.items()]
    source = tmp_path / "check.c"
    source.write_text(f"#include <linux/{header}>\n" + "\n".join(checks) + "\n")
    argv = [compiler, "-fsyntax-only", str(source)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
