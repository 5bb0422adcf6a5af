"""Which Debian packages a release is made of: requirements/debian.txt.

    python -m deploy.archive.debian_lock    writes it (make lock): the newest that apt offers

One line for each: NAME VERSION ARCHITECTURE SHA256 of the .deb.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from deploy.archive.debian import RUNTIME
from deploy.archive.debian_mirror import FILE, Deb, Mirror
from deploy.archive.machines import MACHINES

HEAD = """\
# Written by `make lock`: Debian's packages in the release archive, by the digests of their .debs.
# Do not edit: deploy/archive/debian.py has the names, and apt knows the newest versions.
"""


def read(text: str) -> list[Deb]:
    """Return what the file's text names."""
    return [Deb(*line.split()) for line in text.splitlines() if not line.startswith("#")]


def locked(architecture: str) -> list[Deb]:
    """Return what is locked for one architecture."""
    return [deb for deb in read(FILE.read_text()) if deb.architecture == architecture]


def written(debs: list[Deb]) -> str:
    """Return the file's text."""
    return HEAD + "".join(f"{' '.join(deb)}\n" for deb in sorted(debs))


def main() -> None:
    """Write the file."""
    debs: list[Deb] = []
    with tempfile.TemporaryDirectory() as place:
        for machine in MACHINES.values():
            debs += Mirror(machine, Path(place)).newest(RUNTIME)
    FILE.write_text(written(debs))


if __name__ == "__main__":
    main()
