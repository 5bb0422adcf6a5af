"""Debian's packages in a release: which they are, locked by requirements/debian.txt, and unpacked.

    python -m deploy.archive.debian_packages    locks (make lock) the newest that apt offers

One line for each: NAME VERSION ARCHITECTURE SHA256 of the .deb.

What was fetched is kept by its digest, so a build for which all is there asks no mirror:
PLACE/debs/SHA256.deb, PLACE/trees/SHA256/
"""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from deploy.archive.debian_mirror import FILE, Deb, Mirror, provided
from deploy.archive.machines import MACHINES, Machine

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
# The same for what only the image of a cluster's installer has more (deploy/image).
IMAGE = {"libssl3t64": "Apache-2.0", "libzstd1": "BSD-3-Clause"}
HEAD = """\
# Written by `make lock`: Debian's packages in the release archive, and what the image for clusters
# has more, by the digests of their .debs.
# Do not edit: deploy/archive/debian_packages.py has the names, and apt knows the newest versions.
"""


@dataclass(frozen=True)
class Package:
    """One Debian package, unpacked in `tree`."""

    name: str
    version: str
    architecture: str
    sha256: str
    source: str
    source_version: str
    tree: Path

    @property
    def licence(self) -> str:
        """Return the SPDX expression of its licence."""
        return (RUNTIME | IMAGE)[self.name]

    @property
    def documents(self) -> Path:
        """Return /usr/share/doc/NAME: a directory, or a link to another package's."""
        return self.tree / "usr" / "share" / "doc" / self.name


def fetched(
    machine: Machine, place: Path, locked: list[Deb], *, strict: bool
) -> dict[str, Package]:
    """Fetch packages to `place` as `provided` does, and unpack what is new there."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # keeps other builds out of the same directory
        taken = provided(machine, place, locked, strict=strict)
        packages = [_unpacked(deb, place) for deb in taken]
    return {package.name: package for package in packages}


def _unpacked(deb: Deb, place: Path) -> Package:
    file, tree = deb.file(place), place / "trees" / deb.sha256
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != deb.sha256:
        raise SystemExit(f"{file} has the digest {digest}; remove it")
    if not tree.is_dir():
        new = tree.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.parent.mkdir(exist_ok=True)
        subprocess.run(["dpkg-deb", "--extract", file, new], check=True)
        new.rename(tree)
    words: list[str | Path] = ["dpkg-deb", "--field", file, "Source"]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    source, _, version = (told or deb.name).partition(" ")
    return Package(*deb, source, version.strip("()") or deb.version, tree)


def read_lock(text: str) -> list[Deb]:
    """Return what the lock's text names."""
    return [Deb(*line.split()) for line in text.splitlines() if not line.startswith("#")]


def locked(architecture: str, names: Container[str] = RUNTIME) -> list[Deb]:
    """Return what is locked of these names for one architecture."""
    every = read_lock(FILE.read_text())
    return [deb for deb in every if deb.architecture == architecture and deb.name in names]


def lock_text(debs: list[Deb]) -> str:
    """Return the text of a file that locks these."""
    return HEAD + "".join(f"{' '.join(deb)}\n" for deb in sorted(debs))


def main() -> None:
    """Lock the newest."""
    debs: list[Deb] = []
    with tempfile.TemporaryDirectory() as place:
        for machine in MACHINES.values():
            debs += Mirror(machine, Path(place)).newest(RUNTIME | IMAGE)
    FILE.write_text(lock_text(debs))


if __name__ == "__main__":
    main()
