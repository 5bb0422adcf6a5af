"""Builds archives: python -m deploy.archive [--parts DIR] [--to DIR] [ARCHITECTURE ...]."""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.archive import debian, programs, release, sbom, tarball, wheels
from deploy.archive.machines import MACHINES, Machine, here
from deploy.archive.release import Parts, Release

SOURCE = Path(__file__).resolve().parents[2]


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m deploy.archive", description=__doc__)
    parser.add_argument("--parts", type=Path, default=SOURCE / "build" / "archive-parts")
    parser.add_argument("--to", type=Path, default=SOURCE / "build" / "dist")
    parser.add_argument("machines", nargs="*", default=list(MACHINES), metavar="ARCHITECTURE")
    options = parser.parse_args()
    if unknown := set(options.machines) - set(MACHINES):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(MACHINES)}")
    wanted = [MACHINES[name] for name in options.machines]
    for archive in build(wanted, options.parts.resolve(), options.to.resolve()):
        print(f"{archive}  {archive.stat().st_size / 1e6:.1f} MB")  # noqa: T201 - a program


def build(wanted: list[Machine], parts: Path, to: Path) -> list[Path]:
    """Build archives into `to` from the parts in `parts`, fetched there; return them.

    This machine's is always laid out: its interpreter compiles.
    """
    version = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["version"]
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="runc-wrap-archive-") as directory:
        place = Path(directory)
        made: dict[Machine, Release] = {}
        for machine in dict.fromkeys([here(), *wanted]):
            made[machine] = _laid(machine, version, parts, place)
            release.compile_all(made[machine], made[here()])
            release.write_share(made[machine], made[here()], epoch())
        with ThreadPoolExecutor() as several:
            archives = list(several.map(lambda machine: _packed(made[machine], to), wanted))
    _write_sums(to, archives)
    return archives


def _laid(machine: Machine, version: str, parts: Path, place: Path) -> Release:
    packages = debian.fetched(machine, parts)
    needed = Parts(
        source=SOURCE,
        machine=machine,
        debian=packages,
        wheels=wheels.fetched(machine, SOURCE / "requirements" / "runtime.txt", parts),
        compiler=programs.compiler(machine, packages["musl-dev"], place),
    )
    one = Release(place / f"runc-wrap-{version}-linux-{machine.debian}", version)
    release.lay(one, needed, place)
    release.collect_licences(one, packages)
    document = sbom.text(machine, packages.values(), wheels.installed(one.packages), epoch())
    (one.share / sbom.NAME).write_text(document)
    (one.top / sbom.NAME).symlink_to(f"lib/current/share/{sbom.NAME}")
    return one


def _packed(one: Release, to: Path) -> Path:
    release.write_sums(one)
    target = to / f"{one.top.name}.tar.xz"
    tarball.write(one.top, target, epoch())
    return target


def epoch() -> int:
    """Return the time of all files: SOURCE_DATE_EPOCH, or the last commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    told = subprocess.run(
        ["git", "-C", SOURCE, "log", "-1", "--format=%ct"],
        capture_output=True,
        text=True,
        check=False,
    )
    return int(told.stdout or 0)


def _write_sums(to: Path, archives: list[Path]) -> None:
    """Write SHA256SUMS beside the archives."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in archives]
    (to / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    main()
