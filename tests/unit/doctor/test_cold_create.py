"""doctor on a release whose creates cannot be decided without the agent, or only slowly."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

import runc_wrap
from runc_wrap.doctor import installation_checks
from runc_wrap.installation import releases
from runc_wrap.launcher import pack_hotpath
from tests.unit.cli.ctl import Node
from tests.unit.node import machine

PACKED, CODE = "hotpath/hotpath.packed", "hotpath/runc_wrap"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parts of a release that a cold create needs, as the installer makes them."""
    place = tmp_path_factory.mktemp("release")
    packages = place / "packages"
    packages.mkdir()
    for module in (runc_wrap, orjson):
        directory = Path(str(module.__file__)).parent
        (packages / directory.name).symlink_to(directory)
    made = place / "made"
    releases.copy_hot_path(packages, made)
    pack = [sys.executable, "-I", "-S", "-B", str(pack_hotpath.__file__), str(made / "hotpath")]
    subprocess.run(pack, check=True, timeout=60)
    (made / "python").symlink_to(Path(sys.executable).resolve())
    return made


@pytest.fixture
def own(node: Node, release: Path) -> Path:
    """A copy for the test to break: the node's release in force."""
    current = node.places.prefix / "lib" / "current"
    current.unlink()
    shutil.copytree(release, current, symlinks=True)
    return current


def _damage(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


def _replace_python(release: Path) -> None:
    (release / "python").unlink()
    (release / "python").symlink_to("/usr/bin/python3.0")


def _remove_code(release: Path) -> None:
    (release / PACKED).unlink()
    shutil.rmtree(release / CODE)


# what is broken -> the severity, and a word of why
BREAKAGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no python": (lambda own: (own / "python").unlink(), "error", "is not installed"),
    "python is gone": (_replace_python, "error", "is not installed"),
    "no hot path": (lambda own: shutil.rmtree(own / "hotpath"), "error", "can't open file"),
    "no code": (_remove_code, "error", "No module named"),
    "packed damaged": (lambda own: _damage(own / PACKED), "warning", "1.5 ms longer"),
    "packed missing": (lambda own: (own / PACKED).unlink(), "warning", "1.5 ms longer"),
    "no orjson": (lambda own: shutil.rmtree(own / "hotpath/orjson"), "warning", "agent is slower"),
    "no modules": (lambda own: shutil.rmtree(own / CODE), "warning", "No module named"),
}


@pytest.mark.parametrize("what", BREAKAGES)
def test_what_refuses_every_create_is_an_error_and_what_makes_it_slower_a_warning(
    node: Node, own: Path, what: str
) -> None:
    breakage, severity, why = BREAKAGES[what]
    assert list(installation_checks.cold_create(node.places)) == []
    breakage(own)
    (found,) = installation_checks.cold_create(node.places)
    assert (found.severity, why in found.sentence) == (severity, True), found
    assert f"./install.sh --prefix {node.places.prefix}" in found.remedy


@pytest.mark.parametrize("part", ["hotpath", "."])
def test_what_others_can_change_is_not_started(node: Node, own: Path, part: str) -> None:
    """As root may ask about a user's own installation: its code would run as root."""
    started = own / "started"
    (own / "hotpath" / "cold.py").write_text(f"open({str(started)!r}, 'w')")
    (own / part).chmod(0o777)
    assert list(installation_checks.cold_create(node.places)) == []
    assert not started.exists()
    (own / part).chmod(0o755)
    list(installation_checks.cold_create(node.places))
    assert started.exists()


def test_an_interpreter_that_hangs_is_an_error(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation_checks, "_SECONDS", 0.2)
    machine.fake(node.places.prefix / "lib" / "current", "python", "exec sleep 60")
    (found,) = installation_checks.cold_create(node.places)
    assert (found.severity, "did not end within" in found.sentence) == ("error", True), found
