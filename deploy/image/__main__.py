"""Builds the image: python -m deploy.image [--archives DIR] [--to DIR] [ARCHITECTURE ...]."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.archive.__main__ import PARTS, SOURCE, built, epoch, git, parsed, version
from deploy.image import image_tree
from deploy.image.buildah import Buildah, described_as

if TYPE_CHECKING:
    from deploy.archive.machines import Machine


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m deploy.image", description=__doc__)
    parser.add_argument("--archives", type=Path, default=SOURCE / "build" / "dist")
    parser.add_argument("--parts", type=Path, default=PARTS, help="keeps what was fetched")
    parser.add_argument("--to", type=Path, default=SOURCE / "build" / "dist")
    for name in ("source", "documentation"):
        parser.add_argument(f"--{name}", type=_url, help=f"the URL of the {name}")
    options = parsed(parser)
    options.to.mkdir(parents=True, exist_ok=True)
    target, digest = build(options.machines, options)
    print(f"{target}  {target.stat().st_size / 1e6:.1f} MB  {digest}")  # noqa: T201 - a program


def build(machines: list[Machine], options: argparse.Namespace) -> tuple[Path, str]:
    """Build the image as main's options say; return the file, and the index' digest."""
    target = options.to.resolve() / f"runc-wrap-{version()}-image.oci.tar"
    with tempfile.TemporaryDirectory(prefix="runc-wrap-image-") as directory:
        place, trees = Path(directory), {}
        for machine in machines:
            archive = built(options.archives, machine)
            trees[machine] = place / machine.debian
            image_tree.lay(trees[machine], archive, machine, options.parts.resolve(), epoch())
        urls = {"source": options.source or "", "documentation": options.documentation or ""}
        described = described_as(version(), epoch(), revision=revision(), **urls)
        digest = Buildah(place).build(trees, version(), epoch(), target, described)
    return target, digest


def _url(given: str) -> str:
    if not given.startswith(("https://", "http://")):
        raise argparse.ArgumentTypeError(f"{given!r} is no URL")
    return given


def revision() -> str:
    """Return the checkout's commit; "" if there is none, or if its files differ from it."""
    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--verify", "HEAD") or "").strip() if changed == "" else ""


if __name__ == "__main__":
    main()
