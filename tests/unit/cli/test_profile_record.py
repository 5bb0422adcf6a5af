"""`profile record`: what is refused before the command runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.ctl import Node


def test_a_file_that_cannot_be_written_is_noticed_before_the_command_runs(
    applied: Node, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    for file, said in (("none/p.json", "the command was not run"), (".", "is a directory")):
        words = ("-o", str(tmp_path / file), "--", "touch", str(done))
        assert said in applied.failure("profile", "record", *words)
        assert not done.exists()
