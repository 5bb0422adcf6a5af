"""What is in the release archives, and that it depends on the checkout and its parts alone."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING, Any

import pytest

from deploy.archive import debian, programs
from deploy.archive.__main__ import PARTS
from deploy.archive.machines import MACHINES
from harness.node import archive
from harness.node.install import SOURCE, Installed

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 15_000_000  # bytes: issue 12
MADE_FROM = """deploy hooks runc_wrap requirements pyproject.toml setup.py README.md LICENSE
NOTICE CHANGELOG.md install.sh""".split()


@pytest.fixture(scope="module", params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def opened(
    machine: str, archives: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    return archive.unpacked(archives[machine], tmp_path_factory.mktemp(machine) / "unpacked")


def _programs(opened: Installed) -> list[Path]:
    """Everything that is executable and no script."""
    files = [path for path in opened.prefix.rglob("*") if path.is_file() and not path.is_symlink()]
    found = [path for path in files if path.read_bytes()[:4] == b"\x7fELF"]
    assert len(found) > 10
    return found


def test_a_second_build_in_another_folder_gives_the_same_bytes(
    archives: dict[str, Path], tmp_path: Path
) -> None:
    copy, parts = tmp_path / "another-checkout", tmp_path / "parts"
    copy.mkdir()
    for name in MADE_FROM:
        if (SOURCE / name).is_dir():
            shutil.copytree(SOURCE / name, copy / name)
        else:
            shutil.copy(SOURCE / name, copy)
    shutil.copytree(PARTS / "debs", parts / "debs")
    again = archive.build(tmp_path / "again", *archives, source=copy, parts=parts)
    for machine, first in archives.items():
        assert again[machine].read_bytes() == first.read_bytes(), machine


def test_it_is_smaller_than_promised(machine: str, archives: dict[str, Path]) -> None:
    assert archives[machine].stat().st_size < LARGEST


def test_all_files_are_roots_and_of_one_time_and_nobody_else_may_write_them(
    machine: str, archives: dict[str, Path]
) -> None:
    with tarfile.open(archives[machine]) as packed:
        for entry in packed:
            assert (entry.uid, entry.gid, entry.mtime) == (0, 0, int(archive.WHEN))
            assert entry.issym() or not entry.mode & 0o7022
            assert not entry.islnk()


def test_its_sums_name_every_file(opened: Installed) -> None:
    top = opened.prefix
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=top, check=True)
    named = {line.split("  ", 1)[1] for line in (top / "SHA256SUMS").read_text().splitlines()}
    there = {str(path.relative_to(top)) for path in top.rglob("*") if stat.S_ISREG(_mode(path))}
    assert there == named | {"SHA256SUMS"}


def _mode(path: Path) -> int:
    return path.lstat().st_mode


def test_what_engines_and_operators_execute_needs_only_the_kernel(opened: Installed) -> None:
    for path in (opened.wrapper, opened.ctl, opened.release / "venv" / "bin" / "python"):
        programs.check_static(path)


def test_every_program_and_library_is_for_its_machine(opened: Installed, machine: str) -> None:
    kinds = {"amd64": 62, "arm64": 183}  # EM_X86_64, EM_AARCH64
    for path in _programs(opened):
        assert path.read_bytes()[18] == kinds[machine], path


def test_it_has_a_licence_for_each_part_that_its_sbom_names(opened: Installed) -> None:
    document = _sbom(opened)
    names = {part["name"].lower() for part in document["components"]}
    assert names >= {name for name, licence in debian.RUNTIME.items() if licence}
    assert names >= {"click", "orjson", "rich"}
    licences = opened.release / "share" / "licences"
    for name in (*names, "runc-wrap"):
        assert list((licences / name).iterdir()), name


def test_its_sbom_names_each_parts_version_licence_and_origin(opened: Installed) -> None:
    document = _sbom(opened)
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "runc-wrap"
    for part in document["components"]:
        assert part["purl"].startswith(("pkg:deb/debian/", "pkg:pypi/"))
        assert part["version"]
        assert part["licenses"], part["name"]
    parts = {part["name"] for part in document["components"]}
    assert not {name for name in parts if "ssl" in name}  # nothing to be replaced once a month


def _sbom(opened: Installed) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((opened.prefix / "sbom.cdx.json").read_text())
    return found


def test_no_file_names_the_folder_it_was_built_in(opened: Installed) -> None:
    for path in opened.prefix.rglob("*"):
        if path.is_file():
            assert b"runc-wrap-archive-" not in path.read_bytes(), path


def test_it_has_the_units(opened: Installed) -> None:
    units = {path.name for path in (opened.release / "share" / "systemd").iterdir()}
    assert units == {path.name for path in (SOURCE / "deploy" / "systemd").glob("*.s*")}


def test_it_has_the_manual_and_the_completions(opened: Installed) -> None:
    share = opened.release / "share"
    pages = {path.name for path in (share / "man" / "man1").iterdir()}
    assert pages >= {"runc-wrap.1", "runc-wrapctl.1", "runc-wrapctl-engine-add.1"}
    day = time.strftime("%Y-%m-%d", time.gmtime(int(archive.WHEN)))
    assert f'"{day}"' in (share / "man" / "man1" / "runc-wrapctl.1").read_text().splitlines()[0]
    for name in ("bash/runc-wrapctl", "zsh/_runc-wrapctl", "fish/runc-wrapctl.fish"):
        assert "_RUNC_WRAPCTL_COMPLETE" in (share / "completions" / name).read_text()
