from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runc_wrap.evidence.attribution import runtime_programs
from runc_wrap.evidence.attribution.runtime_programs import Family, Runtimes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("exe", "is_one"),
    [
        ("/usr/sbin/runc", True),
        ("/usr/bin/crun (deleted)", True),  # it was upgraded
        ("/memfd:runc_cloned:/proc/self/exe (deleted)", True),
        ("/runc", True),  # its own copy, in a mount of its own
        ("/", True),  # likewise, of the file alone
        ("/opt/engine/special-runc", True),
        ("/opt/engine/really", True),
        ("/usr/bin/runc2", False),
        ("/runc/sh", False),
        ("/bin/sh", False),
        ("", False),
    ],
)
def test_a_program_may_be_a_runtime_by_its_file_name(
    tmp_path: Path, exe: str, is_one: bool
) -> None:
    (tmp_path / "really").write_text("")
    (tmp_path / "special-runc").symlink_to("really")
    links = tmp_path / "lib" / "runtime"
    links.mkdir(parents=True)
    (links / "runc").symlink_to(tmp_path / "special-runc")
    assert Runtimes(str(tmp_path)).may_be(exe) == is_one


RUNTIME, CHILD, FILE, COPY, OTHER = 1, 2, (8, 10), (1, 11), (9, 12)


@pytest.mark.parametrize(
    ("file", "filters", "has"),
    [
        (FILE, 1, True),
        (COPY, 1, True),  # which the runtime executed itself
        (OTHER, 1, False),
        (None, 1, False),  # it has ended
        (FILE, 2, False),  # it has the container's filter: a program of the container made it
        (FILE, None, False),
    ],
)
def test_a_runtimes_child_runs_its_file_and_has_no_filter_more(
    monkeypatch: pytest.MonkeyPatch, file: tuple[int, int] | None, filters: int | None, *, has: bool
) -> None:
    now: dict[int, tuple[tuple[int, int] | None, int | None]] = {RUNTIME: (FILE, 1)}
    monkeypatch.setattr(runtime_programs, "_file", lambda pid: now[pid][0])
    monkeypatch.setattr(runtime_programs, "_filters", lambda pid: now[pid][1])
    family = Family(RUNTIME)
    now[CHILD] = (COPY, 1)
    family.executed(CHILD)
    now[CHILD] = (OTHER, 2)
    family.executed(CHILD)  # the container's program
    now[CHILD] = (file, filters)
    assert (family.looked(CHILD) is not None) is has
