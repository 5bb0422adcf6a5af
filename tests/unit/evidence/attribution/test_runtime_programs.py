from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runc_wrap.evidence.attribution.runtime_programs import Runtimes

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
def test_a_runtime_is_recognized_by_its_file_name(tmp_path: Path, exe: str, is_one: bool) -> None:
    (tmp_path / "really").write_text("")
    (tmp_path / "special-runc").symlink_to("really")
    links = tmp_path / "lib" / "runtime"
    links.mkdir(parents=True)
    (links / "runc").symlink_to(tmp_path / "special-runc")
    assert Runtimes(str(tmp_path)).has(exe) == is_one
