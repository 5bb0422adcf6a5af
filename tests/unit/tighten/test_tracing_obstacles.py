"""What keeps this program from tracing is named before anything is touched."""

import platform
from collections.abc import Mapping

import pytest

from runc_wrap.host import procfs
from runc_wrap.tighten import tracing_obstacles

STATUS = {b"CapEff": b"000001ffffffffff", b"Seccomp": b"0", b"Seccomp_filters": b"0"}
NONE = "/proc/sys/kernel/ns_last_pid"


@pytest.mark.parametrize(
    ("status", "machine", "is_initial", "ptrace_scope", "named"),
    [
        (STATUS, "x86_64", True, None, None),
        (STATUS, "x86_64", True, b"1\n", None),
        (STATUS, "x86_64", True, b"3\n", "ptrace_scope is 3"),
        (STATUS, "aarch64", True, None, "this is aarch64"),
        (STATUS, "x86_64", False, None, "outside containers"),
        (STATUS | {b"CapEff": b"000001ffffdfffff"}, "x86_64", True, None, "CAP_SYS_ADMIN"),
        (STATUS | {b"CapEff": b"000001fffff7ffff"}, "x86_64", True, None, "CAP_SYS_PTRACE"),
        (STATUS | {b"Seccomp": b"2"}, "x86_64", True, None, "under a seccomp filter itself"),
    ],
)
def test_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
    status: Mapping[bytes, bytes],
    machine: str,
    ptrace_scope: bytes | None,
    named: str | None,
    *,
    is_initial: bool,
) -> None:
    monkeypatch.setattr(procfs, "status", lambda _: status)
    monkeypatch.setattr(procfs, "is_initial", lambda _: is_initial)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(procfs, "read", lambda path, *_: b"1" if path == NONE else ptrace_scope)
    found = tracing_obstacles.first()
    assert found is None if named is None else named in (found or "")


def test_kernels_that_neither_count_filters_nor_return_them_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(procfs, "is_initial", lambda _: True)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(procfs, "read", lambda *_: None)
    monkeypatch.setattr(procfs, "status", lambda _: STATUS)
    assert "CONFIG_CHECKPOINT_RESTORE" in (tracing_obstacles.first() or "")
    uncounted = {name: value for name, value in STATUS.items() if name != b"Seccomp_filters"}
    monkeypatch.setattr(procfs, "status", lambda _: uncounted)
    assert "Linux 5.9" in (tracing_obstacles.first() or "")
