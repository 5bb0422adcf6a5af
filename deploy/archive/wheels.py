"""Python packages as wheels: those of requirements/runtime.txt by their hashes, and our own."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import NamedTuple

from deploy.archive.machines import Machine

PYTHON = "3.13"  # Debian's, debian_packages.py
NEWEST_GLIBC = 41  # Debian's libc6: 2.41
# Whose metadata have a classifier only, or the licence's family or title
_LICENCES = {"hyperframe": "MIT"}
_SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")
_PIP = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input"]


class Wheel(NamedTuple):
    """What the metadata of an unpacked wheel say."""

    name: str
    version: str
    licence: str
    metadata: Path  # NAME-VERSION.dist-info


def fetched(machine: Machine, requirements: Path, place: Path) -> list[Path]:
    """Fetch the wheels that pip would install on such a machine with Debian's interpreter.

    pip's cache has what was fetched before.
    """
    directory = place / f"wheels-{machine.debian}"
    tags = [f"manylinux_2_{minor}_{machine.kernel}" for minor in range(NEWEST_GLIBC, 4, -1)]
    tags += [f"manylinux2014_{machine.kernel}"]
    words = [*_PIP, "download", "--quiet", "--require-hashes", "--no-deps"]
    words += ["--only-binary", ":all:", "--python-version", PYTHON, "--dest", str(directory)]
    words += [f"--platform={tag}" for tag in tags]
    subprocess.run([*words, "--requirement", str(requirements)], check=True)
    return sorted(directory.iterdir())


def own(source: Path, machine: Machine, compiler: str, place: Path) -> Path:
    """Build our package, with the launcher that `compiler` makes, from a copy of the sources."""
    copy = place / f"source-{machine.debian}"
    copy.mkdir(parents=True)
    for name in _SOURCES:
        shutil.copy(source / name, copy)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / "runc_wrap", copy / "runc_wrap", ignore=ignored)
    words = [*_PIP, "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    environment = {
        **os.environ,
        "CC": compiler,
        "_PYTHON_HOST_PLATFORM": f"linux-{machine.kernel}",  # what sysconfig says it is
    }
    wheels = copy / "wheel"
    subprocess.run([*words, "--wheel-dir", wheels, copy], check=True, env=environment)
    (made,) = wheels.iterdir()
    return made


def unpack(wheel: Path, target: Path) -> None:
    """Put a wheel's files where Python finds them, programs executable."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = archive.extract(entry, target)
            if not entry.is_dir():
                os.chmod(path, 0o755 if entry.external_attr >> 16 & 0o100 else 0o644)  # noqa: PTH101


def installed(packages: Path) -> list[Wheel]:
    """Return what lies unpacked in a directory, by name. SystemExit for one without a licence."""
    found = []
    for metadata in sorted(packages.glob("*.dist-info")):
        fields = HeaderParser().parsestr((metadata / "METADATA").read_text())
        name = fields["Name"]
        licence = _LICENCES.get(name) or fields["License-Expression"] or fields["License"]
        if not licence:
            raise SystemExit(f"{metadata} names no licence")
        found.append(Wheel(name, fields["Version"], licence, metadata))
    return found
