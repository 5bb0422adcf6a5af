"""Which Debian packages a release is made of: requirements/debian.txt.

    python -m deploy.archive.debian_lock    writes it (make lock): the newest that apt offers

One line for each: NAME VERSION ARCHITECTURE SHA256 of the .deb.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.archive.debian_mirror import FILE, Deb, Mirror
from deploy.archive.debian_packages import IMAGE, RUNTIME
from deploy.archive.machines import MACHINES

if TYPE_CHECKING:
    from collections.abc import Container

HEAD = """\
# Written by `make lock`: Debian's packages in the release archive, and what the image for clusters
# has more, by the digests of their .debs.
# Do not edit: deploy/archive/debian_packages.py has the names, and apt knows the newest versions.
"""


def read(text: str) -> list[Deb]:
    """Return what the file's text names."""
    return [Deb(*line.split()) for line in text.splitlines() if not line.startswith("#")]


def locked(architecture: str, names: Container[str] = RUNTIME) -> list[Deb]:
    """Return what is locked of these names for one architecture."""
    every = read(FILE.read_text())
    return [deb for deb in every if deb.architecture == architecture and deb.name in names]


def written(debs: list[Deb]) -> str:
    """Return the file's text."""
    return HEAD + "".join(f"{' '.join(deb)}\n" for deb in sorted(debs))


def main() -> None:
    """Write the file."""
    debs: list[Deb] = []
    with tempfile.TemporaryDirectory() as place:
        for machine in MACHINES.values():
            debs += Mirror(machine, Path(place)).newest(RUNTIME | IMAGE)
    FILE.write_text(written(debs))


if __name__ == "__main__":
    main()
