"""What this machine's apt offers of Debian for any architecture, and what it lacks.

apt verifies it by the archive's signed lists. Its state lies in a directory of ours, so the
machine's own apt knows nothing of another architecture.
"""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from deploy.archive.machines import Machine

FILE = Path(__file__).resolve().parents[2] / "requirements" / "debian.txt"
SNAPSHOT = "https://snapshot.debian.org/package"  # every version's files and sources, for ever


class Deb(NamedTuple):
    """One package's file."""

    name: str
    version: str
    architecture: str
    sha256: str

    def __str__(self) -> str:
        """Return what a person calls it."""
        return f"{self.name} {self.version} ({self.architecture})"

    def file(self, place: Path) -> Path:
        """Return where it is kept."""
        return place / "debs" / f"{self.sha256}.deb"


class Mirror:
    """What apt offers for a machine; `place` is for its state and the packages' files."""

    def __init__(self, machine: Machine, place: Path) -> None:
        self._place = place
        self._apt = _apt(machine, place / machine.debian / "apt")
        subprocess.run([*self._apt, "update", "-qq"], check=True)

    def offers(self, words: Iterable[str]) -> list[Deb]:
        """Return the packages that NAME or NAME=VERSION stand for, none unless it has all."""
        argv = [*self._apt, "download", "--print-uris", *words]
        told = subprocess.run(argv, check=False, capture_output=True, text=True)
        lines = [line.split() for line in told.stdout.splitlines() if line.startswith("'")]
        return [] if told.returncode else [_offered(file, digest) for _, file, _, digest in lines]

    def newest(self, names: Iterable[str]) -> list[Deb]:
        """Return the newest version of each. Raises SystemExit unless there are all."""
        wanted = list(names)
        found = self.offers(wanted)
        if len(found) != len(wanted):
            names = " ".join(wanted)
            raise SystemExit(f"apt does not have all of {names}: are its sources Debian 13's?")
        return found

    def fetch(self, debs: list[Deb]) -> None:
        """Download what is offered to the place for it."""
        (self._place / "debs").mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._place) as new:
            words = [f"{deb.name}={deb.version}" for deb in debs]
            subprocess.run([*self._apt, "download", "-qq", *words], check=True, cwd=new)
            for file in Path(new).iterdir():
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                file.rename(self._place / "debs" / f"{digest}.deb")


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


def _offered(file: str, digest: str) -> Deb:
    """Return what apt writes as NAME_VERSION_ARCHITECTURE.deb and SHA256:DIGEST."""
    name, version, architecture = unquote(file).removesuffix(".deb").split("_")
    return Deb(name, version, architecture, digest.removeprefix("SHA256:"))


def provided(machine: Machine, place: Path, locked: list[Deb], *, strict: bool) -> list[Deb]:
    """Return packages whose files are in `place`: what is locked, fetched where it is not there.

    Where the mirror has some of that no more, all are its newest, and stderr says so. Raises
    SystemExit then if `strict`, and always where a version has other bytes than the locked ones.
    """
    if all(deb.file(place).is_file() for deb in locked):
        return locked
    mirror = Mirror(machine, place)
    found = mirror.offers(f"{deb.name}={deb.version}" for deb in locked)
    if not found:
        found = mirror.newest(deb.name for deb in locked)
        said = different(locked, found, place)
        if strict:
            raise SystemExit(f"{said}Lock the new ones by `make lock`, or put the files there.")
        sys.stderr.write(f"{said}This archive has the new ones, so it is not a release.\n")
    refuse_changed(locked, found)
    if missing := [deb for deb in found if not deb.file(place).is_file()]:
        mirror.fetch(missing)
    return sorted(found)


def different(locked: list[Deb], found: list[Deb], place: Path) -> str:
    """Return a line for each locked package that is not offered."""
    versions = {deb.name: deb.version for deb in found}
    return "".join(
        f"{deb} is locked in requirements/{FILE.name}; apt has {versions.get(deb.name, 'none')}\n"
        f"    {SNAPSHOT}/{deb.name}/{deb.version}/ has it: for {deb.file(place)}\n"
        for deb in locked
        if versions.get(deb.name) != deb.version
    )


def refuse_changed(locked: list[Deb], found: list[Deb]) -> None:
    """Raise SystemExit if a version that is locked has other bytes now."""
    digests = {(deb.name, deb.version): deb.sha256 for deb in locked}
    for deb in found:
        if (digest := digests.get((deb.name, deb.version), deb.sha256)) != deb.sha256:
            raise SystemExit(
                f"{deb} has the digest {deb.sha256}, and {digest} in requirements/{FILE.name}: "
                "Debian never changes a version; find out who did"
            )
