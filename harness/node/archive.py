"""Release archives for tests: built from this checkout, unpacked, and places with nothing else."""

import atexit
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.archive import release
from deploy.archive.__main__ import PARTS
from deploy.archive.machines import MACHINES, here
from deploy.archive.release import Release
from harness.host.processes import Run, attempt, environment, run
from harness.node.install import SOURCE, Installed
from harness.node.requirements import program

WHEN = "1750000000"  # SOURCE_DATE_EPOCH
_CHROOT = """
root=$1; shift
mount --bind "$root" "$root" || exit
for name in proc sys dev; do mount --rbind "/$name" "$root/$name" || exit; done
exec chroot "$root" "$@"
"""


def build(to: Path, *machines: str, source: Path = SOURCE, parts: Path = PARTS) -> dict[str, Path]:
    """Build archives, by architecture; xz's preset 1 takes the least time."""
    words: list[str | Path] = ["-m", "deploy.archive", "--parts", parts, "--to", to]
    words += ["--preset", "1", *machines]
    run(["env", "-C", source, f"SOURCE_DATE_EPOCH={WHEN}", sys.executable, *words], seconds=280)
    found = {name: list(to.glob(f"*-linux-{name}.tar.xz")) for name in machines}
    return {name: path for name, (path,) in found.items()}


def build_image(archives: Path, to: Path, *machines: str) -> Path:
    """Build the installer's image of the archives in a directory; of all machines by default."""
    words: list[str | Path] = ["-m", "deploy.image", "--archives", archives, "--to", to, *machines]
    run(["env", "-C", SOURCE, f"SOURCE_DATE_EPOCH={WHEN}", sys.executable, *words], seconds=280)
    (found,) = to.glob("*.oci.tar")
    return found


def as_version(archive: Path, version: str, to: Path) -> Path:
    """Pack an archive again as if it were of another version, under the file's name."""
    top = unpacked(archive, to / "tree").prefix
    name_release(top, version)
    (top / "SHA256SUMS").unlink()  # or it is listed in the new one
    release.write_sums(Release(top, version))
    packed = to / archive.name
    run(["tar", "-C", top.parent, "--use-compress-program=xz -1", "-cf", packed, top.name])
    return packed


def name_release(top: Path, version: str) -> None:
    """Give the only release of an unpacked archive another version's name."""
    (former,) = (top / "lib" / "releases").iterdir()
    former.rename(former.with_name(version))
    (top / "lib" / "current").unlink()
    (top / "lib" / "current").symlink_to(f"releases/{version}")


@cache
def built(machine: str) -> Path:
    """Return a machine's archive, built once in a session; make has built this machine's."""
    given = os.environ.get("RUNC_WRAP_ARCHIVE")
    if given and machine == here().debian:
        return Path(given)
    to = Path(tempfile.mkdtemp(prefix="runc-wrap-dist-"))
    atexit.register(shutil.rmtree, to)
    return build(to, machine)[machine]


def of_all_machines() -> dict[str, Path]:
    """Return all archives."""
    return {machine: built(machine) for machine in MACHINES}


def unpacked(archive: Path, place: Path) -> Installed:
    """Unpack one as its user would: it is an installation then, without a policy."""
    place.mkdir(parents=True)
    run(["tar", "-C", place, "-xf", archive])
    (top,) = place.iterdir()
    return Installed(top)


@dataclass(frozen=True)
class EmptyRoot:
    """A root directory with an unpacked archive in /opt, runc with its libraries, and no more."""

    path: Path

    def run(self, *words: str | Path, **env: str) -> Run:
        """Run a program in it, as root, in a mount namespace of its own."""
        inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _CHROOT, "sh"]
        return attempt([*inside, self.path, *words], env=environment(**env))


def empty_root(archive: Path, path: Path) -> EmptyRoot:
    """Make one; the archive lies in /opt/runc-wrap."""
    for name in ("proc", "sys", "dev", "tmp", "run", "usr/sbin", "usr/lib", "usr/lib64"):
        (path / name).mkdir(parents=True)
    for name in ("lib", "lib64"):
        (path / name).symlink_to(f"usr/{name}")
    runc = Path(program("runc")).resolve()
    for file in [runc, *_libraries(runc)]:
        (path / "usr" / file.relative_to("/").parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, f"{path}{file}")
    unpacked(archive, path / "opt").prefix.rename(path / "opt" / "runc-wrap")
    return EmptyRoot(path)


def _libraries(file: Path) -> list[Path]:
    return [Path(word) for word in run(["ldd", file]).stdout.split() if word.startswith("/")]
