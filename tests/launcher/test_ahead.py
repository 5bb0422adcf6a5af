"""The line that is written before Python starts, removed by the launcher's own C."""

from pathlib import Path

import pytest

from harness.host.processes import run
from harness.node import launchers

LINE = 'time="2026-01-01T00:00:00Z" level=error msg="runc-wrap: the interpreter"\n'


@pytest.fixture(scope="session")
def ahead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("ahead") / "ahead"
    source = Path(__file__).with_name("ahead.c")
    return launchers.compiled(target, *launchers.SANITIZED, sources=[source])


@pytest.mark.parametrize(
    ("since", "left"),
    [
        ("", ""),
        ("another's\n", f"{' ' * (len(LINE) - 1)}\nanother's\n"),
        ("cut", "cut"),
    ],
)
def test_the_launchers_line_is_removed_and_another_writers_line_stays(
    ahead: Path, tmp_path: Path, since: str, left: str
) -> None:
    told = run([ahead, tmp_path / "log", since]).stdout
    assert told.endswith(f":{len(LINE)}\n")
    assert (tmp_path / "log").read_text() == left
