"""A package's scripts: what preinst keeps, the switch to a release, a removal without Python."""

import subprocess
from pathlib import Path

import pytest

from deploy.packages import debian_package


def test_a_release_is_kept_whole_after_an_upgrade_that_was_interrupted(tmp_path: Path) -> None:
    release = tmp_path / "releases" / "1"
    release.mkdir(parents=True)
    (release / "runc-wrap").write_text("the launcher")
    (tmp_path / "current").symlink_to("releases/1")
    for left in ("1.new", "1.kept"):
        (tmp_path / "releases" / left / "half").mkdir(parents=True)
    script = (debian_package.OWN / "keep_release.sh").read_text()
    own = script.replace(f"lib={debian_package.PREFIX}/lib", f"lib={tmp_path}")
    for _ in range(2):  # it was interrupted after that, and is called again
        subprocess.run(["/bin/sh", "-euc", f"{own}keep_release"], check=True)
        kept = tmp_path / "current"
        assert str(kept.readlink()) == "releases/1.kept"
        assert [path.name for path in kept.iterdir()] == ["runc-wrap"]
        assert not (tmp_path / "releases" / "1.new").exists()


def test_a_handler_that_a_removal_led_to_the_real_runtime_is_ours_again(tmp_path: Path) -> None:
    """Its engine's configuration has it still, so its containers would start unconfined."""
    release = tmp_path / "lib" / "releases" / "1"
    (release / "venv" / "bin").mkdir(parents=True)
    (release / "venv" / "bin" / "runc-wrapctl").symlink_to("/bin/true")
    (release / "runc-wrap").write_text("the launcher")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "runc-wrapctl").symlink_to("../lib/current/venv/bin/runc-wrapctl")
    (tmp_path / "bin" / "strict").symlink_to("/usr/bin/runc")  # by leave-path
    script = debian_package.filled((debian_package.OWN / "switch-release").read_text(), VERSION="1")
    own = script.replace(f"prefix={debian_package.PREFIX}", f"prefix={tmp_path}")
    subprocess.run(["/bin/sh", "-c", own], check=True)
    links = {path.name: str(path.readlink()) for path in (tmp_path / "bin").glob("*[lt]")}
    assert links == {"runc-wrapctl": "../lib/current/venv/bin/runc-wrapctl", "strict": "runc-wrap"}
    assert (tmp_path / "bin" / "strict").read_text() == "the launcher"


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
    script = (debian_package.OWN / "leave-path").read_text()
    own = script.replace(f"prefix={debian_package.PREFIX}", f"prefix={prefix}")
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
