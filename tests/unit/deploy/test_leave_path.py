"""A package's removal when it cannot be told what engines call: its Python is gone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.packages import package_tree

NAMES = ("runc-wrap", "strict")


@pytest.fixture(name="prefix")
def damaged_installation(tmp_path: Path) -> Path:
    """One with the launcher, a handler's link and the command, and no release."""
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "runc-wrap").touch(mode=0o755)
    (bin_dir / "strict").symlink_to("runc-wrap")
    (bin_dir / "runc-wrapctl").symlink_to("../lib/current/venv/bin/runc-wrapctl")
    return tmp_path


def _remove(prefix: Path, *programs: str) -> tuple[int, str]:
    """Run the script on a machine that has only these programs; return status and messages."""
    machine = prefix / "machine"
    machine.mkdir()
    for name in ("ln", "mv", *programs):
        (machine / name).symlink_to("/bin/true" if name in programs else Path("/bin") / name)
    script = (package_tree.OWN / "leave-path").read_text()
    own = script.replace(f"prefix={package_tree.PREFIX}", f"prefix={prefix}")
    own = own.replace("PATH=/usr/sbin:/usr/bin:/sbin:/bin", f"PATH={machine}")
    done = subprocess.run(["/bin/sh", "-c", own], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_every_name_leads_to_the_real_runtime(prefix: Path, runtime: str) -> None:
    status, said = _remove(prefix, runtime)
    assert status == 0
    for name in NAMES:
        assert (prefix / "bin" / name).readlink() == prefix / "machine" / runtime
        assert f"{prefix}/bin/{name} stays and leads to" in said
    assert (prefix / "bin" / "runc-wrapctl").readlink().name == "runc-wrapctl"


def test_without_a_runtime_to_which_they_could_lead_it_refuses(prefix: Path) -> None:
    """Otherwise no container of theirs could be stopped any more, and nothing would say so."""
    status, said = _remove(prefix)
    assert status == 1
    assert "there is no runc or crun to which it could lead. Install one; or remove" in said
    assert (prefix / "bin" / "runc-wrap").is_file()
    assert (prefix / "bin" / "strict").readlink() == Path("runc-wrap")


def test_a_package_without_a_name_that_could_be_called_can_be_removed(prefix: Path) -> None:
    for name in NAMES:
        (prefix / "bin" / name).unlink()
    assert _remove(prefix)[0] == 0
