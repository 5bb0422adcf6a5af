"""The trial container, with runtimes that are a few lines of sh."""

from pathlib import Path

import pytest

from runc_wrap.node import selftest_container
from tests.unit.node import machine

FILTERED = r"Name:\tcat\nSeccomp:\t2\nSeccomp_filters:\t3\n"


def test_the_kernels_state_is_read(tmp_path: Path) -> None:
    runtime = machine.fake(tmp_path, "runc", f"printf '{FILTERED}'")
    assert selftest_container.run(runtime, tmp_path) == 2


def test_a_container_that_did_not_run_is_reported_with_the_runtimes_message(tmp_path: Path) -> None:
    for script, said in (
        ("echo no such thing >&2; exit 1", "^no such thing$"),
        ("exit 7", "runc: it ended with status 7"),
        ("echo hello", "printed no Seccomp line: 'hello"),
        ("echo Seccomp: x", "printed no Seccomp line"),
    ):
        with pytest.raises(selftest_container.TrialFailed, match=said):
            selftest_container.run(machine.fake(tmp_path, "runc", script), tmp_path)


def test_an_absent_or_hung_runtime_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(selftest_container.TrialFailed, match="none is not installed"):
        selftest_container.run(tmp_path / "none", tmp_path)
    monkeypatch.setattr(selftest_container, "_SECONDS", 0.1)
    with pytest.raises(selftest_container.TrialFailed, match=r"did not end within 0\.1 s"):
        selftest_container.run(machine.fake(tmp_path, "runc", "exec sleep 60"), tmp_path)
