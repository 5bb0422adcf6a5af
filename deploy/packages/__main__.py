"""Builds packages: python -m deploy.packages [--archives DIR] [--to DIR] [ARCHITECTURE ...]."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from deploy.archive.__main__ import SOURCE, built, parsed
from deploy.packages import deb
from deploy.packages.package_tree import Archive


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m deploy.packages", description=__doc__)
    parser.add_argument("--archives", type=Path, default=SOURCE / "build" / "dist")
    parser.add_argument("--to", type=Path, default=SOURCE / "build" / "dist")
    options = parsed(parser)
    options.to.mkdir(parents=True, exist_ok=True)
    for machine in options.machines:
        package = _of_file(built(options.archives, machine), machine.debian, options.to.resolve())
        print(f"{package}  {package.stat().st_size / 1e6:.1f} MB")  # noqa: T201 - a program


def _of_file(file: Path, machine: str, to: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix="runc-wrap-packages-") as place:
        subprocess.run(["tar", "-C", place, "-xf", file], check=True)
        (top,) = Path(place).iterdir()
        return build(Archive(top, machine), to)


def build(archive: Archive, to: Path, level: int = 6) -> Path:
    """Build the package of an unpacked archive into `to`; `level` is xz's."""
    with tempfile.TemporaryDirectory(prefix="runc-wrap-packages-") as directory:
        place = Path(directory) / "build"  # beside which it appears
        place.mkdir()
        return deb.build(archive, place, to, level)


if __name__ == "__main__":
    main()
