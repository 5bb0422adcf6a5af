"""What is in the release archives, and that it depends on the checkout and its parts alone.

And what a build does where Debian has no longer the versions that are locked.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from deploy.archive import debian_packages, programs
from deploy.archive.__main__ import PARTS
from deploy.archive.debian_mirror import Deb, provided
from deploy.archive.machines import MACHINES, here
from harness.node import archive
from harness.node.install import SOURCE, Installed
from harness.node.requirements import requires

LARGEST = 15_000_000  # bytes: issue 12
MADE_FROM = """deploy docs hooks runc_wrap requirements pyproject.toml setup.py README.md LICENSE
NOTICE CHANGELOG.md CONTRIBUTING.md SECURITY.md install.sh""".split()


@pytest.fixture(scope="module", params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def packed(machine: str) -> Path:
    requires("apt-get", "dpkg-deb", "readelf", MACHINES[machine].compiler)
    return archive.built(machine)


@pytest.fixture(scope="module")
def opened(machine: str, packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return archive.unpacked(packed, tmp_path_factory.mktemp(machine) / "unpacked")


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
    parts.mkdir()
    for name in ("debs", "trees"):
        (parts / name).symlink_to(PARTS / name)
    again = archive.build(tmp_path / "again", *archives, source=copy, parts=parts)
    for machine, first in archives.items():
        assert again[machine].read_bytes() == first.read_bytes(), machine


def test_every_link_of_its_readme_leads_to_one_of_its_files(opened: Installed) -> None:
    links = re.findall(r"\]\(([^)#:]+)[)#]", (opened.prefix / "README.md").read_text())
    assert "docs/operating.md" in links
    assert [link for link in links if not (opened.prefix / link).is_file()] == []


def test_it_is_smaller_than_promised(packed: Path) -> None:
    assert packed.stat().st_size < LARGEST


def test_all_files_are_roots_and_of_one_time_and_nobody_else_may_write_them(packed: Path) -> None:
    times = set()
    with tarfile.open(packed) as entries:
        for entry in entries:
            assert (entry.uid, entry.gid) == (0, 0)
            assert entry.issym() or not entry.mode & 0o7022
            assert not entry.islnk()
            times.add(entry.mtime)
    assert len(times) == 1


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
    names = {part["name"].lower() for part in _sbom(opened)["components"]}
    assert names >= {name for name, licence in debian_packages.RUNTIME.items() if licence}
    assert names >= {"click", "h2", "hpack", "hyperframe", "orjson"}
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
    page = share / "man" / "man1" / "runc-wrapctl.1"
    day = time.strftime("%Y-%m-%d", time.gmtime(page.stat().st_mtime))
    assert f'"{day}"' in page.read_text().splitlines()[0]
    for name in ("bash/runc-wrapctl", "zsh/_runc-wrapctl", "fish/runc-wrapctl.fish"):
        assert "_RUNC_WRAPCTL_COMPLETE" in (share / "completions" / name).read_text()


@pytest.fixture
def gone() -> list[Deb]:
    """What is locked, the C library in a version that no mirror has."""
    requires("apt-get")
    locked = debian_packages.locked(here().debian)
    old = {"version": "2.41-0gone", "sha256": "0" * 64}
    return [deb._replace(**old) if deb.name == "libc6" else deb for deb in locked]


@pytest.fixture(scope="module")
def place(
    native: Path,  # noqa: ARG001 - has fetched the files
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Where the newest files are, and what apt knows from one test to the next."""
    made = tmp_path_factory.mktemp("parts")
    (made / "debs").symlink_to(PARTS / "debs")
    return made


def test_no_release_is_built_and_the_message_says_what_to_do(gone: list[Deb], place: Path) -> None:
    with pytest.raises(SystemExit) as raised:
        provided(here(), place, gone, strict=True)
    told = str(raised.value)
    assert "libc6 2.41-0gone" in told
    assert "python3.13-minimal" not in told
    assert "`make lock`" in told


def test_another_build_takes_what_there_is_and_says_that_it_is_no_release(
    gone: list[Deb], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = provided(here(), place, gone, strict=False)
    assert [deb.name for deb in taken] == sorted(deb.name for deb in gone)
    assert all(deb.file(place).is_file() for deb in taken)
    told = capsys.readouterr().err
    assert "libc6 2.41-0gone" in told
    assert "it is not a release" in told


def test_a_locked_file_that_lies_there_needs_no_mirror(
    gone: list[Deb], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a maintainer would put it there from Debian's archive of all versions."""
    monkeypatch.setenv("PATH", os.devnull)
    (tmp_path / "debs").mkdir()
    for deb in gone:
        deb.file(tmp_path).touch()
    assert provided(here(), tmp_path, gone, strict=True) == gone
