"""Builds the image: python -m deploy.image [--archives DIR] [--to DIR] [ARCHITECTURE ...].

buildah makes one image for all architectures, from directories: the same bytes each time.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.archive.__main__ import PARTS, epoch, git, parsed, unpacked, version
from deploy.archive.machines import Machine
from deploy.archive.programs import SOURCE
from deploy.image import image_tree
from runc_wrap.cluster import archive_copy

NAME = "runc-wrap"
_PROGRAM = str(archive_copy.IMAGE / "bin" / "runc-wrapctl")


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m deploy.image", description=__doc__)
    parser.add_argument("--archives", type=Path, default=SOURCE / "build" / "dist")
    parser.add_argument("--parts", type=Path, default=PARTS, help="keeps what was fetched")
    for name in ("source", "documentation"):
        parser.add_argument(f"--{name}", type=_url, help=f"the URL of the {name}")
    options = parsed(parser)
    target, digest = build(options.machines, options)
    print(f"{target}  {target.stat().st_size / 1e6:.1f} MB  {digest}")  # noqa: T201 - a program


def build(machines: list[Machine], options: argparse.Namespace) -> tuple[Path, str]:
    """Build the image as main's options say; return the file, and the index' digest."""
    target = options.to / f"runc-wrap-{version()}-image.oci.tar"
    with tempfile.TemporaryDirectory(prefix="runc-wrap-image-") as directory:
        place, trees = Path(directory), {}
        for machine in machines:
            found = unpacked(options.archives, machine, place)
            trees[machine] = place / machine.debian
            image_tree.lay(trees[machine], found, machine, options.parts.resolve(), epoch())
        digest = _Buildah(place, epoch()).build(trees, target, _described_as(options))
    return target, digest


def _url(given: str) -> str:
    if not given.startswith(("https://", "http://")):
        raise argparse.ArgumentTypeError(f"{given!r} is no URL")
    return given


def revision() -> str:
    """Return the checkout's commit; "" if there is none, or if its files differ from it."""
    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--verify", "HEAD") or "").strip() if changed == "" else ""


@dataclass(frozen=True)
class _Buildah:
    """buildah with a storage of its own in `place`, so that it leaves nothing behind."""

    place: Path
    epoch: int

    def build(
        self, trees: Mapping[Machine, Path], target: Path, described: Mapping[str, str]
    ) -> str:
        """Write an OCI archive with one image for each machine; return the index' digest."""
        tag = f"{NAME}:{version()}"
        self._run("manifest", "create", tag)
        for machine, tree in trees.items():
            self._image(machine, tree, tag, described)
        told, new = self.place / "digest", target.with_name(f"{target.name}.new")
        new.unlink(missing_ok=True)
        self._run("manifest", "push", "--all", "--quiet", "--digestfile", told, tag,
                  f"oci-archive:{new}:{tag}")  # fmt: skip
        new.rename(target)
        return told.read_text().strip()

    def _image(self, machine: Machine, tree: Path, tag: str, said: Mapping[str, str]) -> None:
        name = f"runc-wrap-{machine.debian}"
        self._run("from", "--quiet", "--arch", machine.debian, "--os", "linux", "--name", name,
                  "scratch")  # fmt: skip
        self._run("copy", "--quiet", "--chown", "0:0", name, tree, "/")
        described = [
            word
            for key, value in said.items()
            for word in ("--label", f"{key}={value}", "--annotation", f"{key}={value}")
        ]
        self._run("config", "--arch", machine.debian, "--os", "linux", "--user", "0:0",
                  "--entrypoint", json.dumps([_PROGRAM]), "--cmd", "", "--workingdir", "/",
                  *described, name)  # fmt: skip
        self._run("commit", "--quiet", "--format", "oci", "--identity-label=false",
                  "--timestamp", str(self.epoch), "--manifest", tag, "--rm", name)  # fmt: skip

    def _run(self, *words: str | Path) -> None:
        storage: list[str | Path] = ["--storage-driver", "vfs", "--root", self.place / "root",
                   "--runroot", self.place / "run"]  # fmt: skip
        subprocess.run(["buildah", *storage, *words], check=True, stdout=subprocess.DEVNULL)


def _described_as(options: argparse.Namespace) -> dict[str, str]:
    """Return what the image says of itself (OCI image-spec, annotations.md), as far as known."""
    name = "org.opencontainers.image."
    known = {
        "source": options.source,
        "documentation": options.documentation,
        "revision": revision(),
    }
    return {
        f"{name}title": "runc-wrap",
        f"{name}description": "Installs runc-wrap on the nodes of a Kubernetes cluster",
        f"{name}version": version(),
        f"{name}created": f"{datetime.fromtimestamp(epoch(), UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"{name}licenses": "Apache-2.0",
        f"{name}vendor": "The runc-wrap authors",
        **{f"{name}{key}": value for key, value in known.items() if value},
    }


if __name__ == "__main__":
    main()
