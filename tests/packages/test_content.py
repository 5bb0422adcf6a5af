"""What is in the packages, and that it depends on the archive alone."""

from __future__ import annotations

import re
import subprocess
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from deploy.archive.machines import here
from deploy.packages import tree
from deploy.packages.rpm import SPECIFICATION
from deploy.packages.tree import Archive
from harness.host.processes import attempt, run
from harness.node.packages import build
from harness.node.requirements import requires

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 15_000_000  # bytes, as for the archive


def _debs(packages: list[Path]) -> list[Path]:
    return [path for path in packages if path.suffix == ".deb"]


def _rpms(packages: list[Path]) -> list[Path]:
    return [path for path in packages if path.suffix == ".rpm"]


def test_a_second_build_in_another_folder_gives_the_same_bytes(
    archives: dict[str, Archive], first: dict[str, Path], tmp_path: Path
) -> None:
    copy = tmp_path / "another folder" / "archive"
    copy.parent.mkdir()
    run(["cp", "-a", archives[here().debian].top, copy])
    for path in build(Archive(copy, here().debian), tmp_path):
        assert path.read_bytes() == first[path.suffix[1:]].read_bytes(), path.name


def test_there_is_one_of_each_kind_for_each_machine(of_all_machines: list[Path]) -> None:
    machines = {_field(path, "Architecture") for path in _debs(of_all_machines)}
    assert machines == {"amd64", "arm64"}
    query = ("rpm", "-qp", "--qf", "%{arch}")
    queried = {run([*query, path]).stdout for path in _rpms(of_all_machines)}
    assert queried == {"x86_64", "aarch64"}
    assert all(path.stat().st_size < LARGEST for path in of_all_machines)


def _field(deb: Path, name: str) -> str:
    return run(["dpkg-deb", "--field", deb, name]).stdout.strip()


def test_lintian_finds_nothing(of_all_machines: list[Path]) -> None:
    requires("lintian")
    words = ["lintian", "--pedantic", "--display-info", "--allow-root", "--fail-on=pedantic"]
    for deb in _debs(of_all_machines):
        done = attempt([*words, "--tag-display-limit", "0", deb])
        assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_rpmlint_finds_nothing(of_all_machines: list[Path]) -> None:
    requires("rpmlint")
    settings = SPECIFICATION.with_name("rpmlint.toml")
    for package in _rpms(of_all_machines):
        done = attempt(["rpmlint", "--config", settings, package])
        assert "0 errors, 0 warnings" in done.stdout, done.stdout


def test_they_depend_on_nothing_and_recommend_a_runtime(first: dict[str, Path]) -> None:
    deb, package = first["deb"], first["rpm"]
    assert [_field(deb, name) for name in ("Depends", "Pre-Depends")] == ["", ""]
    assert _field(deb, "Recommends") == "runc | crun"
    needed = run(["rpm", "-qp", "--requires", package]).stdout.splitlines()
    assert {line for line in needed if not line.startswith("rpmlib(")} <= {"/bin/sh", "coreutils"}
    assert run(["rpm", "-qp", "--recommends", package]).stdout == "(runc or crun)\n"


def test_rpm_replaces_no_configuration_that_its_owner_changed(first: dict[str, Path]) -> None:
    query = ("rpm", "-qp", "--qf", "[%{filenames} %{fileflags:fflags}\n]")
    files = [line.split(" ") for line in run([*query, first["rpm"]]).stdout.splitlines()]
    flags = {name: flags for name, flags in files if name.startswith("/etc/runc-wrap/config")}
    assert flags == {"/etc/runc-wrap/config.toml": "cn"}  # %config(noreplace)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/runc-wrap/config.toml",
        "/usr/bin/runc-wrap",
        "/usr/bin/runc-wrapctl",
        "/usr/lib/runc-wrap/lib/switch-release",
        "/usr/lib/systemd/system/*.service",
        "/usr/lib/systemd/system/*.socket",
        "/usr/share/doc/runc-wrap/README.md*",
        "/usr/share/man/man1/runc-wrap.1.gz",
        "/usr/share/man/man1/runc-wrapctl-engine-add.1.gz",
        "/usr/share/bash-completion/completions/runc-wrapctl",
        "/usr/share/fish/vendor_completions.d/runc-wrapctl.fish",
        "/usr/share/zsh/*/_runc-wrapctl",
    ],
)
def test_both_have(path: str, first: dict[str, Path]) -> None:
    for names in _names(first).values():
        assert [name for name in names if PurePosixPath(name).match(path)], path


ELSEWHERE = {"LICENSE", "CHANGELOG.md"}  # distributions have places of their own for these


def test_what_the_readme_links_to_is_beside_it(
    archives: dict[str, Archive], first: dict[str, Path]
) -> None:
    text = (archives[here().debian].top / "README.md").read_text()
    links = {*re.findall(r"\]\(([^)#:]+)[)#]", text)} - ELSEWHERE
    assert "docs/operating.md" in links
    for kind, names in _names(first).items():
        missing = {f"/usr/share/doc/runc-wrap/{link}" for link in links} - {*names}
        assert missing == set(), kind


def _names(packages: dict[str, Path]) -> dict[str, list[str]]:
    packed = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", packages["deb"]], check=True, capture_output=True
    ).stdout
    listed = subprocess.run(["tar", "-t"], input=packed, check=True, capture_output=True).stdout
    of_rpm = run(["rpm", "-qpl", packages["rpm"]]).stdout
    return {
        "deb": [line.removeprefix(".") for line in listed.decode().splitlines()],
        "rpm": of_rpm.splitlines(),
    }


def test_what_dpkg_and_rpm_would_replace_too_early_is_not_theirs(first: dict[str, Path]) -> None:
    for names in _names(first).values():
        assert "/usr/lib/runc-wrap/bin/runc-wrapctl" in names
        assert "/usr/lib/runc-wrap/bin/runc-wrap" not in names
        assert "/usr/lib/runc-wrap/lib/current" not in names


def test_no_path_of_the_tarball_is_named(archives: dict[str, Archive], tmp_path: Path) -> None:
    tree.lay(archives[here().debian], tmp_path, tree.ZSH_OF_DEBIAN)
    named = [*tmp_path.glob("usr/lib/systemd/system/*"), *tmp_path.rglob("hooks/*.d/*.json")]
    assert len(named) >= 4
    for path in named:
        assert tree.DEFAULT_PREFIX not in path.read_text(), path
        assert tree.PREFIX in path.read_text(), path
