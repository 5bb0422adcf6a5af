"""Ratios within one interleaved run: no absolute time, so that a slow machine fails no test.

Each round measures both sides shortly after one another. The fastest of each side are compared: a
busy machine only ever makes a call slower, a regression makes all of them so.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import measurement
from harness.containers.bundles import Bundle
from harness.host.processes import script, short_directory
from harness.measurement import seconds_of
from harness.node import agent as agents
from harness.node import install
from harness.node.requirements import requires

ROUNDS = 40
# The launcher adds one exec of a static program. For the fastest of 100 on either side the ratio
# was 1.34 to 1.68 in 20 runs on two busy cores, and 2.18 to 2.55 with a shell in front of it.
FAST_ROUNDS = 100
PAUSE = 0.002  # seconds
MOST_UNTOUCHED = 1.9
# With an agent a create took 0.17 to 0.20 of a cold one; with none, the control, 0.95 to 1.02.
MOST_AGENT = 0.6
# A cold create does its work beside an interpreter's start: 1.4 times that start, measured.
MOST_COLD = 2.0
START = "import posix; posix.execv('/bin/true', ['true'])"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> install.Installed:
    """An installation whose real runtime does nothing, so that all of the time is ours."""
    requires(root=True)
    made = install.install(tmp_path_factory.mktemp("perf") / "prefix")
    install.use_runtime(made, "/bin/true")
    return made


def _fastest(
    measured: Callable[[], float], base: Callable[[], float], count: int = ROUNDS
) -> float:
    """Return the fastest of one side over that of the other."""
    variants = {"measured": measured, "base": base}
    rounds = measurement.interleaved(variants, count, seed=1, pause=PAUSE)
    fastest = {name: min(one[name] for one in rounds) for name in variants}
    return fastest["measured"] / fastest["base"]


def _untouched(wrapper: str) -> float:
    """Return how much longer `state` takes through a wrapper than the runtime alone takes."""
    return _fastest(
        lambda: seconds_of([wrapper, "state", "ID"]), lambda: seconds_of(["/bin/true"]), FAST_ROUNDS
    )


def _create(prefix: install.Installed, bundle: Bundle) -> Callable[[], float]:
    text = bundle.config.read_bytes()

    def create() -> float:
        bundle.config.write_bytes(text)
        return seconds_of([str(prefix.wrapper), "create", "--bundle", str(bundle.path), "ID"])

    return create


def _compared(measured: install.Installed, base: install.Installed, bundle: Bundle) -> float:
    """Return the ratio of a create by one installation to a create by another."""
    return _fastest(_create(measured, bundle), _create(base, bundle))


def _cold(prefix: install.Installed, bundle: Bundle) -> float:
    """Return how much longer a cold create takes than the interpreter's start alone."""
    python = str((prefix.release / "python").readlink())
    start = [python, "-I", "-S", "-B", "-X", "utf8", "-c", START]
    return _fastest(_create(prefix, bundle), lambda: seconds_of(start))


def _careless(installed: install.Installed, tmp_path: Path) -> install.Installed:
    """Return a copy with an expensive import at a module's top."""
    own = install.copy_of(installed, tmp_path / "own")
    script = install.lay_out_second(own) / "hotpath" / "cold.py"
    install.switch_release(own.prefix)
    script.write_text(
        f"{script.read_text()}".replace("import sys\n", "import sys\nimport typing, json\n", 1)
    )
    return own


def test_a_command_that_needs_no_config_costs_little_more_than_an_exec(
    installed: install.Installed,
) -> None:
    assert _untouched(str(installed.wrapper)) < MOST_UNTOUCHED


def test_a_slow_wrapper_is_detected(installed: install.Installed, tmp_path: Path) -> None:
    """The control of the test above: a shell in front."""
    slow = script(tmp_path / "slow", f'exec {installed.wrapper} "$@"')
    assert _untouched(str(slow)) > MOST_UNTOUCHED


def test_a_cold_create_costs_little_more_than_the_interpreter(
    installed: install.Installed, bundle: Bundle
) -> None:
    assert _cold(installed, bundle) < MOST_COLD


def test_an_expensive_import_is_detected(
    installed: install.Installed, bundle: Bundle, tmp_path: Path
) -> None:
    """The control of the test above."""
    own = _careless(installed, tmp_path)
    assert _cold(own, bundle) > MOST_COLD


def test_a_create_with_an_agent_costs_far_less_than_a_cold_one(
    installed: install.Installed, bundle: Bundle
) -> None:
    with short_directory("perf") as place:
        own = install.copy_of(installed, place / "p")
        with agents.running(own):
            assert _compared(own, installed, bundle) < MOST_AGENT


def test_a_useless_agent_is_detected(installed: install.Installed, bundle: Bundle) -> None:
    """The control of the test above: no agent, so that each create is decided cold."""
    with short_directory("perf") as place:
        own = install.copy_of(installed, place / "p")
        assert _compared(own, installed, bundle) > MOST_AGENT
