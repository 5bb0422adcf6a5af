"""What keeps this program from tracing is named before anything is touched."""

import platform
from collections.abc import Mapping

import pytest

from runc_wrap.host import procfs
from runc_wrap.tighten import tracing_obstacles

STATUS = {b"CapEff": b"000001ffffffffff", b"Seccomp": b"0", b"Seccomp_filters": b"0"}
NONE: dict[bytes, bytes] = {}
FILES = {"ns_last_pid": b"1", "ptrace_scope": b"1\n"}


@pytest.mark.parametrize(
    ("differs", "files", "machine", "is_initial", "named"),
    [
        (NONE, FILES, "x86_64", True, None),
        (NONE, {"ns_last_pid": b"1"}, "x86_64", True, None),
        (NONE, FILES | {"ptrace_scope": b"3\n"}, "x86_64", True, "ptrace_scope is 3"),
        (NONE, {}, "x86_64", True, "CONFIG_CHECKPOINT_RESTORE"),
        (NONE, FILES, "aarch64", True, "this is aarch64"),
        (NONE, FILES, "x86_64", False, "outside containers"),
        ({b"CapEff": b"000001ffffdfffff"}, FILES, "x86_64", True, "CAP_SYS_ADMIN"),
        ({b"CapEff": b"000001fffff7ffff"}, FILES, "x86_64", True, "CAP_SYS_PTRACE"),
        ({b"Seccomp": b"2"}, FILES, "x86_64", True, "under a seccomp filter itself"),
        ({b"Seccomp_filters": None}, FILES, "x86_64", True, "Linux 5.9"),
    ],
)
def test_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
    differs: Mapping[bytes, bytes | None],
    files: Mapping[str, bytes],
    machine: str,
    named: str | None,
    *,
    is_initial: bool,
) -> None:
    status = {name: value for name, value in {**STATUS, **differs}.items() if value is not None}
    monkeypatch.setattr(procfs, "status", lambda _: status)
    monkeypatch.setattr(procfs, "is_initial", lambda _: is_initial)
    monkeypatch.setattr(procfs, "read", lambda path, *_: files.get(path.rpartition("/")[2]))
    monkeypatch.setattr(platform, "machine", lambda: machine)
    found = tracing_obstacles.first()
    assert found is None if named is None else named in (found or "")
