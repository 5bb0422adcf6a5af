"""The shell launcher parses the caller's arguments like the compiled one."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from runc_wrap.launcher import shared_words
from tests.launcher import models
from tests.launcher.test_fuzz import SEED, VOCABULARY

if TYPE_CHECKING:
    from pathlib import Path

CASES = 400
CREATE, OTHER = 0, 1


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """An installation whose Python is /bin/true and whose runtime is /bin/false."""
    (tmp_path / "lib" / "runtime").mkdir(parents=True)
    (tmp_path / "lib" / "runtime" / "runc").symlink_to("/bin/false")
    (tmp_path / "lib" / "current").symlink_to(".")
    (tmp_path / "lib" / "python").symlink_to("/bin/true")
    script = tmp_path / "runc-wrap"
    script.write_text(f"#!/bin/sh\nprefix='{tmp_path}'\n{shared_words.script()}")
    script.chmod(0o755)
    return script


def test_generated_words_are_read_as_the_model_reads_them(launcher: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - a seed that can be repeated is the point
    seen = []
    for _ in range(CASES):
        words = [chance.choice(VOCABULARY) for _ in range(chance.randrange(6))]
        expected = CREATE if models.words(words).startswith("create") else OTHER
        done = subprocess.run([launcher, *words], capture_output=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (expected, b""), f"seed {SEED}: {words}"
        seen.append(expected)
    assert min(seen.count(CREATE), seen.count(OTHER)) > CASES / 10
