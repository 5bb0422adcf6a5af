"""Builds packages: python -m deploy.packages [--archives DIR] [--to DIR] [ARCHITECTURE ...]."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from deploy.archive.__main__ import SOURCE
from deploy.archive.machines import MACHINES
from deploy.packages import deb
from deploy.packages.package_tree import Archive


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m deploy.packages", description=__doc__)
    parser.add_argument("--archives", type=Path, default=SOURCE / "build" / "dist")
    parser.add_argument("--to", type=Path, default=SOURCE / "build" / "dist")
    parser.add_argument("machines", nargs="*", default=list(MACHINES), metavar="ARCHITECTURE")
    options = parser.parse_args()
    if unknown := set(options.machines) - set(MACHINES):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(MACHINES)}")
    options.to.mkdir(parents=True, exist_ok=True)
    for machine in options.machines:
        package = _of_file(_newest(options.archives, machine), machine, options.to.resolve())
        print(f"{package}  {package.stat().st_size / 1e6:.1f} MB")  # noqa: T201 - a program


def _newest(directory: Path, machine: str) -> Path:
    found = sorted(directory.glob(f"runc-wrap-*-linux-{machine}.tar.xz"), key=_time)
    if not found:
        raise SystemExit(f"no archive for {machine} in {directory}; run `make dist` first")
    return found[-1]


def _time(path: Path) -> float:
    return path.stat().st_mtime


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
