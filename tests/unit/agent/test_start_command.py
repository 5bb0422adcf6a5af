"""Where the installed release's agent is, whichever Python the release has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent import start_command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("used", ["python3.12", "python3.13"])
def test_the_agent_is_found_beside_what_another_python_left(tmp_path: Path, used: str) -> None:
    release = tmp_path / "lib" / "releases" / "2"
    for name in ("python3.12", "python3.13"):
        (release / "venv" / "lib" / name / "site-packages").mkdir(parents=True)
    start = release / "venv" / "lib" / used / "site-packages" / "runc_wrap" / "agent" / "start.py"
    start.parent.mkdir(parents=True)
    start.touch()
    (tmp_path / "lib" / "current").symlink_to("releases/2")
    words = start_command.command_anew(str(tmp_path), "decide")
    assert (tmp_path / words[-3]).resolve() == start
