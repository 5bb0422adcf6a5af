"""Ratios within one interleaved run: no absolute time, so that a slow machine fails nothing.

Each round measures both sides shortly after one another. The lower quartile of the rounds' ratios
is judged: a busy machine makes single rounds slower, a regression makes all of them so.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from bench import numbers
from bench.timing import seconds_of
from tests.support import bundles, install
from tests.support.requirements import requires

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.bundles import Bundle

ROUNDS = 20
# The launcher is one exec more of a static program: 1.5 times /bin/true, measured.
MOST_UNTOUCHED = 2.5
# A cold create does its work beside an interpreter's start: 1.4 times that start, measured.
MOST_COLD = 2.0
START = "import posix; posix.execv('/bin/true', ['true'])"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> install.Installed:
    """An installation whose real runtime does nothing, so that all the time is ours."""
    requires(root=True)
    made = install.install(tmp_path_factory.mktemp("perf") / "prefix")
    install.use_runtime(made, "/bin/true")
    return made


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundles.make(tmp_path / "bundle", "runc")


def _lower_quartile(measured: Callable[[], float], base: Callable[[], float]) -> float:
    rounds = numbers.interleaved({"measured": measured, "base": base}, ROUNDS, seed=1)
    return numbers.summary(numbers.ratios(rounds, "measured", "base")).low


def _untouched(wrapper: str) -> float:
    """Return how much longer `state` takes through a wrapper than the runtime alone takes."""
    return _lower_quartile(
        lambda: seconds_of([wrapper, "state", "ID"]), lambda: seconds_of(["/bin/true"])
    )


def _cold(prefix: install.Installed, bundle: Bundle) -> float:
    """Return how much longer a cold create takes than the interpreter's start alone."""
    python = str((prefix.release / "python").readlink())
    text = bundle.config.read_bytes()

    def create() -> float:
        bundle.config.write_bytes(text)
        return seconds_of([str(prefix.wrapper), "create", "--bundle", str(bundle.path), "ID"])

    start = [python, "-I", "-S", "-B", "-X", "utf8", "-c", START]
    return _lower_quartile(create, lambda: seconds_of(start))


def test_a_command_that_needs_no_config_costs_little_more_than_an_exec(
    installed: install.Installed,
) -> None:
    assert _untouched(str(installed.wrapper)) < MOST_UNTOUCHED


def test_a_slow_wrapper_would_be_seen(installed: install.Installed, tmp_path: Path) -> None:
    """The control of the test above: three milliseconds more than a shell."""
    slow = tmp_path / "slow"
    slow.write_text(f'#!/bin/sh\nsleep 0.003\nexec {installed.wrapper} "$@"\n')
    slow.chmod(0o755)
    assert _untouched(str(slow)) > MOST_UNTOUCHED


def test_a_cold_create_costs_little_more_than_the_interpreter(
    installed: install.Installed, bundle: Bundle
) -> None:
    assert _cold(installed, bundle) < MOST_COLD


def test_a_dear_import_would_be_seen(
    installed: install.Installed, bundle: Bundle, tmp_path: Path
) -> None:
    """The control of the test above: what a careless line at a module's top brings along."""
    own = install.copy_of(installed, tmp_path / "own")
    release = tmp_path / "release"
    shutil.copytree(installed.release, release, symlinks=True)
    for name, target in (("releases", tmp_path), ("current", f"releases/{release.name}")):
        (own.prefix / "lib" / name).unlink()
        (own.prefix / "lib" / name).symlink_to(target)
    script = release / "hotpath" / "cold.py"
    script.write_text(
        f"{script.read_text()}".replace("import sys\n", "import sys\nimport typing, json\n", 1)
    )
    assert _cold(own, bundle) > MOST_COLD
