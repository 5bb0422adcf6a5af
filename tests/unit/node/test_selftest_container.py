"""The trial container, with runtimes that are a few lines of sh."""

from pathlib import Path

import pytest

from runc_wrap.node import selftest_container
from tests.unit.node import machine

STATUS = "Name:\\tcat\\nSeccomp:\\t{}\\nSeccomp_filters:\\t{}\\n"


@pytest.mark.parametrize(("seccomp", "filters"), [(0, 0), (2, 1), (2, 3)])
def test_the_kernels_state_is_read(seccomp: int, filters: int, tmp_path: Path) -> None:
    runtime = machine.fake(tmp_path, "runc", f"printf '{STATUS.format(seccomp, filters)}'")
    assert selftest_container.run(runtime, tmp_path) == selftest_container.Confinement(
        seccomp, filters
    )


def test_an_old_kernel_does_not_count_filters(tmp_path: Path) -> None:
    runtime = machine.fake(tmp_path, "runc", r"printf 'Seccomp:\t2\n'")
    assert selftest_container.run(runtime, tmp_path) == selftest_container.Confinement(2, 0)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no such thing >&2; exit 1", "^no such thing$"),
        ("exit 7", "runc: it ended with status 7"),
        ("echo hello", "printed no Seccomp line: 'hello"),
        ("echo Seccomp: x", "printed no Seccomp line"),
    ],
)
def test_a_container_that_did_not_run_is_reported_with_the_runtimes_message(
    script: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(selftest_container.TrialFailed, match=said):
        selftest_container.run(machine.fake(tmp_path, "runc", script), tmp_path)


def test_a_missing_or_hanging_runtime_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(selftest_container.TrialFailed, match="none is not installed"):
        selftest_container.run(tmp_path / "none", tmp_path)
    monkeypatch.setattr(selftest_container, "_SECONDS", 0.1)
    with pytest.raises(selftest_container.TrialFailed, match=r"did not end within 0\.1 s"):
        selftest_container.run(machine.fake(tmp_path, "runc", "exec sleep 60"), tmp_path)
