"""A test that fails once is named, and many of them fail the run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.reruns import MOST

SOURCE = Path(__file__).parents[3]
FAILS = """
import pathlib, pytest

@pytest.mark.parametrize("n", range({tests}))
def test_it(n):
    path = pathlib.Path(__file__).with_name(f"ran-{{n}}")
    times = int(path.read_text()) if path.exists() else 0
    path.write_text(str(times + 1))
    assert times >= {failures}, "not the first time"
"""


@pytest.mark.parametrize(
    ("tests", "failures", "status"),
    [(MOST, 1, 0), (MOST + 1, 1, 1), (1, 2, 1)],
    ids=["a few fail once", "too many fail once", "one fails twice"],
)
def test_the_run_passes_if_few_tests_failed_once_and_none_twice(
    tmp_path: Path, tests: int, failures: int, status: int
) -> None:
    (tmp_path / "test_few.py").write_text(FAILS.format(tests=tests, failures=failures))
    plugins = ["-p", "tests.reruns", "-p", "no:cacheprovider", "--reruns", "1"]
    place = str(tmp_path)
    words = [sys.executable, "-m", "pytest", *plugins, "-c", "/dev/null", "--rootdir", place, place]
    done = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout
    assert "not the first time" in done.stdout
    assert "failed once" in done.stdout
