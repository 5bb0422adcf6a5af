"""Fixtures that every folder of tests uses."""

import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from harness.containers import bundles
from harness.host.processes import run
from harness.node import install
from harness.node.requirements import program

# Examples have no deadline. CI tries the same ones each time: a new one's finding should stop the
# person who runs `make check`, which tries new ones, and not the next commit. At night more are
# tried (RUNC_WRAP_EXAMPLES).
settings.register_profile(
    "here",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    max_examples=int(os.environ.get("RUNC_WRAP_EXAMPLES", "30")),
)
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
# Wherever make was started, as by `&` or nohup: a signal that was ignored then would be for all
# programs that the tests start.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

_IS_CI = "RUNC_WRAP_REQUIRE_ALL" in os.environ and "RUNC_WRAP_EXAMPLES" not in os.environ
settings.load_profile("ci" if _IS_CI else "here")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> install.Installed:
    """An installation with default settings; a test that changes it uses `own_installation`.

    make made one for all its runs (RUNC_WRAP_TEST_INSTALLED): each run has a copy.
    """
    prefix = tmp_path_factory.mktemp("installed") / "prefix"
    if shared := os.environ.get("RUNC_WRAP_TEST_INSTALLED"):
        return install.copy_of(install.Installed(Path(shared)), prefix)
    return install.install(prefix)


@pytest.fixture
def own_installation(installed: install.Installed, tmp_path: Path) -> install.Installed:
    """An installation that the test may configure and break."""
    return install.copy_of(installed, tmp_path / "own")


@pytest.fixture
def bundle(tmp_path: Path) -> bundles.Bundle:
    """A bundle of runc's, whose container sleeps."""
    return bundles.make(tmp_path / "bundle", "runc")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the static program built from harness/programs/NAME.c, once per session."""
    directory = tmp_path_factory.mktemp("built")
    sources = install.SOURCE / "harness" / "programs"

    @cache
    def build(name: str) -> Path:
        words = ["-std=gnu11", "-O1", "-static", "-Wall", "-Wextra", "-Werror", "-o"]
        run([program("cc"), *words, directory / name, sources / f"{name}.c"])
        return directory / name

    return build
