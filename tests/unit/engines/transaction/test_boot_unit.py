"""The unit that takes changes back at boot: systemd accepts it, and it leaves no trace."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.node.requirements import program
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.transaction import engine_restart
from runc_wrap.node.paths import DEFAULT_PREFIX, Places


@pytest.mark.parametrize("damaged", [False, True])
def test_systemd_accepts_it(tmp_path: Path, *, damaged: bool) -> None:
    """The damaged one is the control."""
    text = engine_restart.boot_unit_text(Places(DEFAULT_PREFIX), "another.service")
    text = text.replace(f"{DEFAULT_PREFIX}/bin/runc-wrapctl", "/bin/true")
    unit = tmp_path / "runc-wrap-revert.service"
    unit.write_text(text.replace("Type=oneshot", "Type=once") if damaged else text)
    argv = [program("systemd-analyze"), "verify", "--man=no", str(unit)]
    said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60).stderr
    assert (unit.name in said) is damaged


def test_it_runs_before_every_engine_that_may_be_registered() -> None:
    text = engine_restart.boot_unit_text(Places(DEFAULT_PREFIX), "another.service")
    (before,) = [line for line in text.splitlines() if line.startswith("Before=")]
    names = set(before.removeprefix("Before=").split())
    wanted = "containerd crio docker k3s k3s-agent rke2-server rke2-agent another".split()
    assert {f"{name}.service" for name in wanted} <= names


def test_installations_have_units_of_their_own_and_remove_no_others(tmp_path: Path) -> None:
    one, other = Places(DEFAULT_PREFIX), Places(Path("/srv/runc-wrap"))
    for places in (one, other):
        engine_restart.write_boot_unit(places, "", tmp_path)
    engine_restart.remove_boot_unit(one, tmp_path)
    assert not (tmp_path / engine_restart.boot_unit_name(one)).exists()
    assert (
        (tmp_path / "multi-user.target.wants" / engine_restart.boot_unit_name(other))
        .resolve()
        .is_file()
    )
    engine_restart.remove_boot_unit(other, tmp_path)
    engine_restart.remove_boot_unit(other, tmp_path)
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []


def test_a_path_that_a_unit_cannot_name_is_refused() -> None:
    with pytest.raises(EngineError, match="a unit cannot name the path /a b"):
        engine_restart.boot_unit_text(Places(Path("/a b")), "")


def test_it_waits_for_what_its_state_is_mounted_on(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "var").symlink_to(tmp_path / "elsewhere")
    told = engine_restart.boot_unit_text(Places(tmp_path), "")
    assert f"RequiresMountsFor={tmp_path} {tmp_path}/elsewhere\n" in told
