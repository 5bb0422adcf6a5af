"""The readiness probe of the installer's pod: what it says and how it ends."""

import ast
import subprocess
from pathlib import Path

import pytest

from harness.node.install import SOURCE
from harness.node.requirements import program
from runc_wrap.cluster.node_reporter import READY_MARK, READY_SENTENCE
from tests.kubernetes import rendered

PROBE = SOURCE / "deploy" / "image" / "is_ready.c"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, which looks into its own directory."""
    place = tmp_path_factory.mktemp("probe")
    flags = ["-Wall", "-Wextra", "-Werror", f'-DPLACE="{place}/"', "-o", f"{place}/is-ready"]
    subprocess.run([program("gcc"), *flags, str(PROBE)], check=True)
    return place / "is-ready"


def _asked(probe: Path, sentence: str | None, *, is_ready: bool) -> tuple[int, str]:
    place = probe.parent
    (place / "ready").unlink(missing_ok=True)
    (place / "sentence").unlink(missing_ok=True)
    if sentence is not None:
        (place / "sentence").write_text(sentence)
    if is_ready:
        (place / "ready").touch()
    done = subprocess.run([probe], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_it_says_the_state_and_ends_by_it(probe: Path) -> None:
    assert _asked(probe, "ready", is_ready=True) == (0, "ready\n")
    assert _asked(probe, "refused: it is Docker", is_ready=False) == (1, "refused: it is Docker\n")
    for sentence in (None, ""):
        status, said = _asked(probe, sentence, is_ready=False)
        assert (status, said) == (1, "the installer has not looked at its node yet\n")
    # what is too long is cut
    assert _asked(probe, "x" * 5000, is_ready=True) == (0, "x" * 1023 + "\n")


def test_it_reads_what_the_installer_writes_and_the_pod_runs_it() -> None:
    (line,) = (one for one in PROBE.read_text().splitlines() if one.startswith("#define PLACE"))
    place = ast.literal_eval(line.split()[2])
    assert {str(READY_MARK), str(READY_SENTENCE)} == {f"{place}ready", f"{place}sentence"}
    (daemonset,) = rendered.of_kind("base", "DaemonSet")
    (container,) = rendered.pod(daemonset)["containers"]
    assert container["readinessProbe"]["exec"]["command"] == ["/installer/is-ready"]
