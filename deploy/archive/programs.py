"""Our own programs for any machine: static, linked with Debian's musl for it."""

import runpy
import subprocess
from collections.abc import Iterable
from pathlib import Path

from deploy.archive.debian_packages import Package
from deploy.archive.machines import Machine

SOURCE = Path(__file__).resolve().parents[2]


def compiler(machine: Machine, musl: Package, place: Path) -> str:
    """Return the words that compile for a machine with its musl: what $CC may be.

    They are musl-gcc's: Debian has that script for the machine's own architecture only, but its
    specifications for each. Raises SystemExit where a path has blanks, which those cannot have.
    """
    directory = musl.tree / "usr" / "lib" / f"{machine.kernel}-linux-musl"
    if " " in str(musl.tree) + str(place):
        raise SystemExit(f"a path with blanks cannot be told to gcc: {musl.tree} or {place}")
    specs = place / f"musl-{machine.debian}.specs"
    text = (directory / "musl-gcc.specs").read_text()
    specs.write_text(text.replace("/usr/", f"{musl.tree}/usr/"))
    return f"{machine.compiler} -specs={specs} -s"  # musl's own debugging information


def compiled(source: Path, words: str, program: Path) -> None:
    """Compile one source as setup.py compiles the launcher."""
    program.parent.mkdir(parents=True, exist_ok=True)
    setup = runpy.run_path(str(SOURCE / "setup.py"))
    flags = [*setup["FLAGS"], *setup["HARDENED"], *setup["STATIC"], "-Wall", "-Wextra", "-Werror"]
    argv = [*words.split(), *flags, "-o", program, source.name]
    subprocess.run(argv, check=True, cwd=source.parent)
    check_static(program)


def check_static(program: Path) -> None:
    """Raise SystemExit unless a program needs nothing of the node but its kernel."""
    if needed(program) or "INTERP" in _read(program, "--program-headers"):
        raise SystemExit(f"{program} is not static: see setup.py's own words above")


def needed(file: Path) -> list[str]:
    """Return the names of the libraries that a program or library names."""
    lines = _read(file, "--dynamic").splitlines()
    return [line.partition("[")[2].rstrip("]") for line in lines if "(NEEDED)" in line]


def check_libraries(files: Iterable[Path], *places: Path) -> None:
    """Raise SystemExit unless all libraries that these files name lie in one of the places."""
    there = {path.name for place in places for path in place.iterdir()}
    for file in files:
        if missing := sorted(set(needed(file)) - there):
            raise SystemExit(f"{file} needs {', '.join(missing)}: add it to LIBRARIES")


def _read(file: Path, what: str) -> str:
    argv = ["readelf", "--wide", what, str(file)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
