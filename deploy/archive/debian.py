"""Debian's packages, fetched by this machine's apt for any architecture, and unpacked.

apt verifies them by the archive's signed lists. Its state lies in a directory of ours, so the
machine's own apt knows nothing of another architecture. Which version there is decides apt; the
SBOM says which it was.
"""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.archive.machines import Machine

# name -> its licence's SPDX expression, for what of it is in the archive
RUNTIME = {
    "gcc-14-base": "",  # has the copyright file of libgcc-s1, and nothing else of ours
    "libc6": "LGPL-2.1-or-later",
    "libexpat1": "MIT",
    "libffi8": "MIT",
    "libgcc-s1": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libpython3.13-minimal": "PSF-2.0",
    "libpython3.13-stdlib": "PSF-2.0",
    "libseccomp2": "LGPL-2.1-only",
    "musl-dev": "MIT",  # the C library in our static programs
    "python3.13-minimal": "PSF-2.0",
    "zlib1g": "Zlib",
}


@dataclass(frozen=True)
class Package:
    """One Debian package, unpacked beneath `tree`."""

    name: str
    version: str
    source: str
    source_version: str
    architecture: str
    sha256: str
    tree: Path

    @property
    def licence(self) -> str:
        """Return the SPDX expression of its licence."""
        return RUNTIME[self.name]

    @property
    def documents(self) -> Path:
        """Return /usr/share/doc/NAME: a directory, or a link to another package's."""
        return self.tree / "usr" / "share" / "doc" / self.name


def fetched(machine: Machine, place: Path) -> dict[str, Package]:
    """Fetch RUNTIME's packages for a machine beneath `place`, and unpack what is new there."""
    directory = place / machine.debian
    apt = _apt(machine, directory / "apt")
    subprocess.run([*apt, "update", "-qq"], check=True)
    uris = subprocess.run(
        [*apt, "download", "--print-uris", *RUNTIME], check=True, capture_output=True, text=True
    )
    files = [line.split()[1] for line in uris.stdout.splitlines() if line.startswith("'")]
    for name in ("debs", "trees"):
        (directory / name).mkdir(exist_ok=True)
    if not all((directory / "debs" / file).is_file() for file in files):
        subprocess.run([*apt, "download", "-qq", *RUNTIME], check=True, cwd=directory / "debs")
    packages = [_unpacked(directory / "debs" / file, directory) for file in files]
    return {package.name: package for package in packages}


def _apt(machine: Machine, state: Path) -> list[str]:
    """Return apt-get with the machine's sources and keys, and all that it writes in `state`."""
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = {
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "APT::Architecture": machine.debian,
        "APT::Architectures::": machine.debian,
        "APT::Sandbox::User": "",  # the user _apt may not write here
        "Acquire::Languages": "none",
        "Acquire::Retries": "5",
    }
    return ["apt-get", *(f"-o{name}={value}" for name, value in options.items())]


def _unpacked(deb: Path, directory: Path) -> Package:
    digest = hashlib.sha256(deb.read_bytes()).hexdigest()
    tree = directory / "trees" / digest
    if not tree.is_dir():
        new = tree.with_suffix(".new")
        subprocess.run(["dpkg-deb", "--extract", deb, new], check=True)
        new.rename(tree)
    fields = _fields(deb)
    source, _, source_version = fields.get("Source", fields["Package"]).partition(" ")
    return Package(
        name=fields["Package"],
        version=fields["Version"],
        source=source,
        source_version=source_version.strip("()") or fields["Version"],
        architecture=fields["Architecture"],
        sha256=digest,
        tree=tree,
    )


def _fields(deb: Path) -> dict[str, str]:
    told = subprocess.run(
        ["dpkg-deb", "--field", deb, "Package", "Version", "Source", "Architecture"],
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(line.split(": ", 1) for line in told.stdout.splitlines())
