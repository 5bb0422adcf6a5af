"""Packages for tests, and a small Debian of its own to install them in: with dpkg and runc."""

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.archive.release import Release
from deploy.packages import debian_package
from harness.containers import bundles
from harness.host.namespaces import MountNamespace, private_mounts
from harness.host.processes import Run, attempt, run
from harness.kernel import process_status
from harness.node import archive

IN_IT = ("init-system-helpers", "runc")
PREFIX = "/usr/lib/runc-wrap"
WRAPPER, CTL = "/usr/bin/runc-wrap", "/usr/bin/runc-wrapctl"
_SHOW = ["/bin/cat", "/proc/self/status"]


def unpacked(file: Path, place: Path) -> Release:
    """Unpack an archive for the packager."""
    top = archive.unpacked(file, place).prefix
    return Release(top, (top / "lib" / "current").resolve().name)


def build(archive: Release, machine: str, to: Path) -> Path:
    """Build the package quickly."""
    return debian_package.build(archive, machine, to, level=1)


def as_version(original: Release, version: str, place: Path) -> Release:
    """Copy an unpacked archive as if it were of another version."""
    top = place / "archive"
    shutil.copytree(original.top, top, symlinks=True)
    archive.name_release(top, version)
    return Release(top, version)


@dataclass(frozen=True)
class Node:
    """A root directory in a mount namespace of its own; nothing of it is left afterwards."""

    root: Path
    space: MountNamespace

    def inside(self, path: str) -> Path:
        """Return this machine's path of one of the node's."""
        return self.space.inside(Path(f"{self.root}{path}"))

    def argv(self, *words: str | Path, before: tuple[str, ...] = ()) -> list[str]:
        """Return the words that run a program there; `before` are of this machine."""
        return [*self.space.prefix, *before, "chroot", str(self.root), *map(str, words)]

    def run(self, *words: str | Path, seconds: float = 120) -> Run:
        """Run a program there; it must succeed."""
        return run(self.argv(*words), seconds=seconds)

    def attempt(
        self, *words: str | Path, before: tuple[str, ...] = (), seconds: float = 120
    ) -> Run:
        """Run a program there; any exit status is a result."""
        return attempt(self.argv(*words, before=before), seconds=seconds)

    def put(self, file: Path) -> str:
        """Copy a package there; return its path."""
        shutil.copy(file, self.inside("/var/cache"))
        return f"/var/cache/{file.name}"

    def release(self) -> str:
        """Return the name of the release in force."""
        return self.inside(f"{PREFIX}/lib/current").readlink().name

    def bundle(self) -> str:
        """Make a bundle of a container that shows its own status; return its path."""
        path = f"/bundles/{uuid.uuid4()}"
        made = bundles.make(self.inside(path), "runc").executing(*_SHOW)
        shutil.copy(made.config, made.path / "original.json")
        return path

    def seccomp(self, bundle: str, runtime: str = WRAPPER) -> int:
        """Run the container once; return what the kernel says of its first process."""
        config = self.inside(bundle) / "config.json"
        name = f"runc-wrap-test-{uuid.uuid4()}"
        document = json.loads((config.with_name("original.json")).read_text())
        document["linux"]["cgroupsPath"] = f"/{name}"
        config.write_text(json.dumps(document))
        done = self.run(runtime, "--root", f"{bundle}/state", "run", "--bundle", bundle, name)
        return process_status.seccomp_in(done.stdout)


@contextlib.contextmanager
def node(lower: Path, place: Path) -> Iterator[Node]:
    """Mount one over the tree `lower`, which stays as it is; `place` is an empty directory."""
    for name in ("upper", "work", "root"):
        (place / name).mkdir()
    with private_mounts(place, {}) as space:
        made = Node(place / "root", space)
        layers = f"lowerdir={lower},upperdir={place / 'upper'},workdir={place / 'work'}"
        run([*space.prefix, "mount", "-t", "overlay", "test", "-o", layers, made.root])
        for name in ("proc", "sys", "dev"):
            run([*space.prefix, "mount", "--rbind", f"/{name}", made.root / name])
        run([*space.prefix, "mount", "-t", "tmpfs", "run", made.root / "run"])
        yield made
