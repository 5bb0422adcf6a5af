"""Builds archives: python -m deploy.archive [--help] [ARCHITECTURE ...]."""

import argparse
import os
import subprocess
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from deploy.archive import debian_packages, release, sbom, wheels
from deploy.archive.machines import MACHINES, Machine, here
from deploy.archive.programs import SOURCE
from deploy.archive.release import Release

PARTS = Path("/var/cache/runc-wrap-archive") if os.geteuid() == 0 else SOURCE / "build" / "parts"


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m deploy.archive", description=__doc__)
    parser.add_argument("--parts", type=Path, default=PARTS, help="keeps what was fetched")
    locked = "fail unless Debian has what is locked"
    parser.add_argument("--locked", action="store_true", help=locked)
    parser.add_argument("--preset", type=int, default=release.SMALLEST, help="of xz: 0 to 9")
    options = parsed(parser)
    for archive in build(options.machines, options):
        print(f"{archive}  {archive.stat().st_size / 1e6:.1f} MB")  # noqa: T201 - a program


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return what the command line says; `machines` are all unless it names some, `to` is there."""
    parser.add_argument("--to", type=Path, default=SOURCE / "build" / "dist")
    parser.add_argument("machines", nargs="*", metavar="ARCHITECTURE")
    options = parser.parse_args()
    if unknown := set(options.machines) - set(MACHINES):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(MACHINES)}")
    options.machines = [MACHINES[name] for name in options.machines or MACHINES]
    options.to = options.to.resolve()
    options.to.mkdir(parents=True, exist_ok=True)
    return options


def version() -> str:
    """Return the version of the checkout."""
    return str(tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["version"])


def unpacked(directory: Path, machine: Machine, place: Path) -> Release:
    """Unpack a machine's archive that `build` has made there. Raises SystemExit without one."""
    name = f"runc-wrap-{version()}-linux-{machine.debian}"
    if not (archive := directory / f"{name}.tar.xz").is_file():
        raise SystemExit(f"{archive} is not there; run `make dist` first")
    subprocess.run(["tar", "-C", place, "-xf", archive], check=True)
    return Release(place / name, (place / name / "lib" / "current").readlink().name)


def build(wanted: list[Machine], options: argparse.Namespace) -> list[Path]:
    """Build archives as main's options say; return them.

    This machine's is always laid out: its interpreter compiles.
    """
    with tempfile.TemporaryDirectory(prefix="runc-wrap-archive-") as directory:
        place = Path(directory)
        made: dict[Machine, Release] = {}
        for machine in dict.fromkeys([here(), *wanted]):
            made[machine] = _laid(machine, place, options)
            release.compile_all(made[machine], made[here()])
            release.write_share(made[machine], made[here()], epoch())
        with ThreadPoolExecutor() as several:
            pack = partial(release.pack, to=options.to, epoch=epoch(), preset=options.preset)
            archives = list(several.map(pack, [made[machine] for machine in wanted]))
    release.sum_up(options.to, archives)
    return archives


def _laid(machine: Machine, place: Path, options: argparse.Namespace) -> Release:
    number, locked = version(), debian_packages.locked(machine.debian)
    kept = options.parts.resolve()
    debian = debian_packages.fetched(machine, kept, locked, strict=options.locked)
    one = Release(place / f"runc-wrap-{number}-linux-{machine.debian}", number)
    release.lay(one, machine, debian, place)
    release.collect_licences(one, debian, epoch())
    document = sbom.text(machine, debian.values(), wheels.installed(one.packages), epoch())
    (one.share / sbom.NAME).write_text(document)
    (one.top / sbom.NAME).symlink_to(f"lib/current/share/{sbom.NAME}")
    return one


def epoch() -> int:
    """Return the time of all files: SOURCE_DATE_EPOCH, or the last commit's."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or 0)


def git(*words: str) -> str | None:
    """Return what git prints of the checkout, None if it fails."""
    try:
        argv = ["git", "-C", str(SOURCE), *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return None if done.returncode else done.stdout


if __name__ == "__main__":
    main()
