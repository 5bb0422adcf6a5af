"""Builds the image: python -m deploy.image [--archives DIR] [--to DIR] [ARCHITECTURE ...]."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import tomllib
from pathlib import Path

from deploy.archive.__main__ import PARTS, SOURCE, epoch
from deploy.archive.machines import MACHINES, Machine
from deploy.image import image_tree
from deploy.image.buildah import Buildah, described_as


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m deploy.image", description=__doc__)
    parser.add_argument("--archives", type=Path, default=SOURCE / "build" / "dist")
    parser.add_argument("--parts", type=Path, default=PARTS, help="keeps what was fetched")
    parser.add_argument("--to", type=Path, default=SOURCE / "build" / "dist")
    for name in ("source", "documentation"):
        parser.add_argument(f"--{name}", type=_url, help=f"the URL of the {name}")
    parser.add_argument("machines", nargs="*", default=list(MACHINES), metavar="ARCHITECTURE")
    options = parser.parse_args()
    if unknown := set(options.machines) - set(MACHINES):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(MACHINES)}")
    options.to.mkdir(parents=True, exist_ok=True)
    target, digest = build([MACHINES[name] for name in options.machines], options)
    print(f"{target}  {target.stat().st_size / 1e6:.1f} MB  {digest}")  # noqa: T201 - a program


def build(machines: list[Machine], options: argparse.Namespace) -> tuple[Path, str]:
    """Build the image as main's options say; return the file, and the index' digest."""
    version = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["version"]
    target = options.to.resolve() / f"runc-wrap-{version}-image.oci.tar"
    with tempfile.TemporaryDirectory(prefix="runc-wrap-image-") as directory:
        place, trees = Path(directory), {}
        for machine in machines:
            archive = options.archives / f"runc-wrap-{version}-linux-{machine.debian}.tar.xz"
            if not archive.is_file():
                raise SystemExit(f"{archive} is not there; run `make dist` first")
            trees[machine] = place / machine.debian
            image_tree.lay(trees[machine], archive, machine, options.parts.resolve(), epoch())
        urls = {"source": options.source or "", "documentation": options.documentation or ""}
        described = described_as(version, epoch(), revision=revision(), **urls)
        digest = Buildah(place).build(trees, version, epoch(), target, described)
    return target, digest


def _url(given: str) -> str:
    if not given.startswith(("https://", "http://")):
        raise argparse.ArgumentTypeError(f"{given!r} is no URL")
    return given


def revision() -> str:
    """Return the checkout's commit; "" if there is none, or if its files differ from it."""
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return (_git("rev-parse", "--verify", "HEAD") or "").strip() if changed == "" else ""


def _git(*words: str) -> str | None:
    """Return what git prints, None if it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", SOURCE, *words], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return None if done.returncode else done.stdout


if __name__ == "__main__":
    main()
