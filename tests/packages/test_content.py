"""What is in the package, and that it depends on the archive alone."""

import re
import subprocess
from pathlib import Path

from deploy.archive.machines import here
from deploy.packages import package_tree
from deploy.packages.package_tree import Archive
from harness.host.processes import attempt, run
from harness.node.packages import build
from harness.node.requirements import requires


def test_a_second_build_in_another_folder_gives_the_same_bytes(
    archives: dict[str, Archive], first: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "another folder" / "archive"
    copy.parent.mkdir()
    run(["cp", "-a", archives[here().debian].top, copy])
    assert build(Archive(copy, here().debian), tmp_path).read_bytes() == first.read_bytes()


def _field(deb: Path, name: str) -> str:
    return run(["dpkg-deb", "--field", deb, name]).stdout.strip()


def test_lintian_finds_nothing(of_all_machines: list[Path]) -> None:
    requires("lintian")
    words = ["lintian", "--pedantic", "--display-info", "--allow-root", "--fail-on=pedantic"]
    for deb in of_all_machines:
        done = attempt([*words, "--tag-display-limit", "0", deb])
        assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_it_depends_on_nothing_and_recommends_a_runtime(first: Path) -> None:
    assert [_field(first, name) for name in ("Depends", "Pre-Depends")] == ["", ""]
    assert _field(first, "Recommends") == "runc | crun"


ELSEWHERE = {"LICENSE", "CHANGELOG.md"}  # Debian has places of its own for these


def test_what_the_readme_links_to_is_beside_it(archives: dict[str, Archive], first: Path) -> None:
    text = (archives[here().debian].top / "README.md").read_text()
    links = {*re.findall(r"\]\(([^)#:]+)[)#]", text)} - ELSEWHERE
    assert "docs/operating.md" in links
    assert {f"/usr/share/doc/runc-wrap/{link}" for link in links} <= {*_names(first)}


def _names(package: Path) -> list[str]:
    packed = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True
    ).stdout
    listed = subprocess.run(["tar", "-t"], input=packed, check=True, capture_output=True).stdout
    return [line.removeprefix(".") for line in listed.decode().splitlines()]


def test_what_dpkg_would_replace_too_early_is_not_its_own(first: Path) -> None:
    names = _names(first)
    assert "/usr/lib/runc-wrap/bin/runc-wrapctl" in names
    assert "/usr/lib/runc-wrap/bin/runc-wrap" not in names
    assert "/usr/lib/runc-wrap/lib/current" not in names


def test_no_path_of_the_tarball_is_named(archives: dict[str, Archive], tmp_path: Path) -> None:
    package_tree.lay(archives[here().debian], tmp_path)
    named = [*tmp_path.glob("usr/lib/systemd/system/*"), *tmp_path.rglob("hooks/*.d/*.json")]
    assert len(named) >= 4
    for path in named:
        assert package_tree.DEFAULT_PREFIX not in path.read_text(), path
        assert package_tree.PREFIX in path.read_text(), path
