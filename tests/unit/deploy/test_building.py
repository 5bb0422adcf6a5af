"""Building installs what building needs: none of the engines and browsers that tests need."""

from __future__ import annotations

import re
import tomllib

from harness.host.processes import run
from harness.node.install import SOURCE
from harness.node.requirements import program

NEEDED = {
    "python3-venv",
    "git",
    "gcc",
    "libc6-dev",
    "binutils",
    "xz-utils",
    "gcc-aarch64-linux-gnu",
}


def _told(*targets: str) -> str:
    words = [program("make"), "--no-print-directory", "-n", "-C", str(SOURCE), *targets]
    return run([*words, "--old-file", ".venv/dist-ready"]).stdout


def _asked_for(*targets: str) -> set[str]:
    queries = re.findall(r"dpkg-query -W (.*?) >", _told(*targets))
    return {package for one in queries for package in one.split()}


def test_the_archives_and_the_image_need_compilers_and_buildah() -> None:
    assert _asked_for("dist", "image") <= {*NEEDED, "buildah", "netavark"}
    assert _asked_for("dist-debian", "image-debian") == {*NEEDED, "buildah", "netavark"}


def test_of_python_they_need_less_than_the_tests() -> None:
    extras = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    found = extras["optional-dependencies"]
    assert len(found["dist"]) <= 2
    assert "runc-wrap[dist]" in found["dev"]
