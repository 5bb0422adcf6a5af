"""Builds archives: python -m deploy.archive [--help] [ARCHITECTURE ...]."""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.archive import debian_packages, programs, release, sbom, wheels
from deploy.archive.machines import MACHINES, Machine, here
from deploy.archive.release import Parts, Release

SOURCE = Path(__file__).resolve().parents[2]
PARTS = Path("/var/cache/runc-wrap-archive") if os.geteuid() == 0 else SOURCE / "build" / "parts"


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m deploy.archive", description=__doc__)
    parser.add_argument("--parts", type=Path, default=PARTS, help="keeps what was fetched")
    parser.add_argument("--to", type=Path, default=SOURCE / "build" / "dist")
    parser.add_argument(
        "--locked", action="store_true", help="fail unless Debian has what is locked"
    )
    parser.add_argument("--preset", type=int, default=release.SMALLEST, help="of xz: 0 to 9")
    options = parsed(parser)
    for archive in build(options.machines, options):
        print(f"{archive}  {archive.stat().st_size / 1e6:.1f} MB")  # noqa: T201 - a program


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return what the command line says; `machines` are all unless it names some."""
    parser.add_argument("machines", nargs="*", metavar="ARCHITECTURE")
    options = parser.parse_args()
    if unknown := set(options.machines) - set(MACHINES):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(MACHINES)}")
    options.machines = [MACHINES[name] for name in options.machines or MACHINES]
    return options


def version() -> str:
    """Return the version of the checkout."""
    return str(tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["version"])


def built(directory: Path, machine: Machine) -> Path:
    """Return a machine's archive that `build` has made there. Raises SystemExit without one."""
    archive = directory / f"runc-wrap-{version()}-linux-{machine.debian}.tar.xz"
    if not archive.is_file():
        raise SystemExit(f"{archive} is not there; run `make dist` first")
    return archive


def build(wanted: list[Machine], options: argparse.Namespace) -> list[Path]:
    """Build archives as main's options say; return them.

    This machine's is always laid out: its interpreter compiles.
    """
    options.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="runc-wrap-archive-") as directory:
        place = Path(directory)
        made: dict[Machine, Release] = {}
        for machine in dict.fromkeys([here(), *wanted]):
            parts = _parts(machine, place, options)
            made[machine] = _laid(parts, version(), place)
            release.compile_all(made[machine], made[here()])
            release.write_share(made[machine], made[here()], epoch())
        with ThreadPoolExecutor() as several:
            archives = list(several.map(lambda one: _packed(made[one], options), wanted))
    release.sum_up(options.to.resolve(), archives)
    return archives


def _parts(machine: Machine, place: Path, options: argparse.Namespace) -> Parts:
    locked = debian_packages.locked(machine.debian)
    packages = debian_packages.fetched(
        machine, options.parts.resolve(), locked, strict=options.locked
    )
    return Parts(
        source=SOURCE,
        machine=machine,
        debian=packages,
        wheels=wheels.fetched(machine, SOURCE / "requirements" / "runtime.txt", place),
        compiler=programs.compiler(machine, packages["musl-dev"], place),
    )


def _laid(parts: Parts, number: str, place: Path) -> Release:
    one = Release(place / f"runc-wrap-{number}-linux-{parts.machine.debian}", number)
    release.lay(one, parts, place)
    release.collect_licences(one, parts.debian, epoch())
    found = wheels.installed(one.packages)
    document = sbom.text(parts.machine, parts.debian.values(), found, epoch())
    (one.share / sbom.NAME).write_text(document)
    (one.top / sbom.NAME).symlink_to(f"lib/current/share/{sbom.NAME}")
    return one


def _packed(one: Release, options: argparse.Namespace) -> Path:
    release.write_sums(one)
    target: Path = options.to.resolve() / f"{one.top.name}.tar.xz"
    release.pack(one, target, epoch(), options.preset)
    return target


def epoch() -> int:
    """Return the time of all files: SOURCE_DATE_EPOCH, or the last commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or git("log", "-1", "--format=%ct") or 0)


def git(*words: str) -> str | None:
    """Return what git prints of the checkout, None if it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", SOURCE, *words], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return None if done.returncode else done.stdout


if __name__ == "__main__":
    main()
