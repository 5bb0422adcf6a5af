"""Calls in strace's output."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.evidence.sources.strace_text import StraceReader, TracedCall

NONE = (None,) * 6


def test_a_call_has_its_name_and_the_arguments_that_are_numbers() -> None:
    for line, name, args in (
        (b'openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3', "openat", NONE),
        (b"socket(0x26, 0x5, 0) = -1 EPERM", "socket", (0x26, 5, 0, None, None, None)),
        (b"[pid   12] close(3) = 0", "close", (3, *NONE[1:])),
        (b"1234 12:00:01.123456 dup2(3, 4) = 4", "dup2", (3, 4, *NONE[2:])),
        (b"1234 1.5 [00007f1234567890] close(3) = 0", "close", (3, *NONE[1:])),
        (b" " * 16 + b"0.000046 close(3) = 0", "close", (3, *NONE[1:])),
        (b"1700000000.5 kill(-1, 9) = 0", "kill", ((1 << 64) - 1, 9, *NONE[2:])),
        (b"futex(0x7f, 128, 0 <unfinished ...>", "futex", (0x7F, 128, *NONE[2:])),
        (b'write(1, "a,b)\\"c"..., 7) = 7', "write", (1, None, 7, *NONE[3:])),
        (b'ioctl(3</q/a, 0x1, b>, 0x5412, "x") = 0', "ioctl", NONE),
        (b"clone(child_stack=NULL, flags=0x1200000|17) = 5", "clone", (0x1200011, *NONE[1:])),
        (b"clone(child_stack=0x7f, flags=CLONE_VM|SIGCHLD) = 5", "clone", NONE),
        (b"clone3({flags=0x10000000, x=17}, 88) = 5", "clone3", (0x10000000, 0, *NONE[2:])),
        (b"clone3({flags=0, set_tid_size=1} <unfinished ...>", "clone3", (0, 1, *NONE[2:])),
        (b"rt_sigaction(2, {sa_handler=0x1, sa_mask=[]}, 8)", "rt_sigaction", (2, *NONE[1:])),
        (b"chmod(0x1, 0644) = 0", "chmod", (1, 0o644, *NONE[2:])),
        (b'mknod("x", 0100600, 0) = 0', "mknod", (None, 0o100600, 0, *NONE[3:])),
        (b"12 [????????????????] close(3) = 0", "close", (3, *NONE[1:])),
        (b"12 [system_u:system_r:init_t:s0] close(3) = 0", "close", (3, *NONE[1:])),
        (b"personality(0x8|0x20000) = 0", "personality", (0x20008, *NONE[1:])),
        (b"personality(0x8|X) = 0", "personality", NONE),
        (b"getpid() = 1", "getpid", NONE),
        (b'mkdir("[ Process PID=7 runs in x32 mode. ]", 0700)', "mkdir", (None, 0o700, *NONE[2:])),
        (b"f(1, 2, 3, 4, 5, 6, 7) = 0", "f", (1, 2, 3, 4, 5, 6)),
    ):
        found = StraceReader().call(line)
        assert found
        assert found._replace(pid=b"") == TracedCall(name, "", args)


def test_other_lines_are_passed_over() -> None:
    for line in (
        b"<... futex resumed>) = 0",
        b"+++ exited with 0 +++",
        b"--- SIGCHLD {si=1} ---",
        b"",
        b"x",
        b'10<a> read(">  [ 83] mkdir("x", 0700) = 0',  # a program chooses its name
        b" " * 17 + b"0.000046 close(3) = 0",  # more take quadratic time
    ):
        assert StraceReader().call(line) is None


def test_a_process_has_its_mode_until_that_changes_or_it_ends() -> None:
    """While strace names no process it traces only one."""
    called = (b"[pid 7] getpid() = 7", b"getpid() = 7")
    ends = (b"strace: [ Process PID=7 runs in 64 bit mode. ]", b"[pid 7] +++ exited with 0 +++")
    for call, over, mode in itertools.product(called, ends, ("32 bit", "x32")):
        begun = f"[ Process PID=7 runs in {mode} mode. ]".encode()
        calls = map(StraceReader().call, [begun, call, b"[pid 8] getpid() = 8", over, call])
        then = "64" if b"64" in over else ""
        assert [one.bits for one in calls if one] == [mode.removesuffix(" bit"), "", then]


@given(st.binary(max_size=80))
def test_any_bytes_are_a_call_or_none(data: bytes) -> None:
    for one in map(StraceReader().call, (data, b"f(" + data)):
        assert one is None or len(one.args) == 6
