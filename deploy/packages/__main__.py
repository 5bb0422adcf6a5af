"""Builds packages: python -m deploy.packages [--archives DIR] [--to DIR] [ARCHITECTURE ...]."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from deploy.archive.__main__ import SOURCE, built, parsed
from deploy.packages import package_tree
from deploy.packages.package_tree import Archive

_DEBIAN = Path(__file__).parent / "debian"
_REVISION = "1"
_CHANGELOG = """runc-wrap ({version}) unstable; urgency=medium

  * Release {release}; see changelog.gz.

 -- The runc-wrap authors <maintainers@runc-wrap.invalid>  {time:%a, %d %b %Y %H:%M:%S} +0000
"""
_COPYRIGHT = """runc-wrap is under {licence}; below are its licence, and those of the interpreter,
the libraries and the Python packages that lie in the package. Where each comes from, in which
version, says {prefix}/lib/releases/{version}/share/sbom.cdx.json.
"""
_APACHE = re.compile(
    r" *Apache License\n *Version 2\.0, January 2004\n.*?END OF TERMS AND CONDITIONS\n", re.DOTALL
)
_POINTER = "Apache License, Version 2.0: see /usr/share/common-licenses/Apache-2.0.\n"


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m deploy.packages", description=__doc__)
    parser.add_argument("--archives", type=Path, default=SOURCE / "build" / "dist")
    parser.add_argument("--to", type=Path, default=SOURCE / "build" / "dist")
    options = parsed(parser)
    options.to.mkdir(parents=True, exist_ok=True)
    for machine in options.machines:
        package = _of_file(built(options.archives, machine), machine.debian, options.to.resolve())
        print(f"{package}  {package.stat().st_size / 1e6:.1f} MB")  # noqa: T201 - a program


def _of_file(file: Path, machine: str, to: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix="runc-wrap-packages-") as place:
        subprocess.run(["tar", "-C", place, "-xf", file], check=True)
        (top,) = Path(place).iterdir()
        return build(Archive(top, machine), to)


def build(archive: Archive, to: Path, level: int = 6) -> Path:
    """Build the package of an unpacked archive into `to`; `level` is xz's."""
    with tempfile.TemporaryDirectory(prefix="runc-wrap-packages-") as directory:
        place = Path(directory) / "build"  # beside which debhelper puts it
        root = place / "debian" / "runc-wrap"
        version = f"{archive.version}-{_REVISION}"
        _lay_sources(archive, place, version)
        package_tree.lay(archive, root)
        (root / "usr/share/doc/runc-wrap/copyright").write_text(_copyright(archive))
        package_tree.lay_documents(archive, root)
        environment = {
            **os.environ,
            "SOURCE_DATE_EPOCH": str(archive.epoch),
            "DEB_HOST_ARCH": archive.machine,
            "DPKG_DEB_COMPRESSOR_LEVEL": str(level),
        }
        words = ["make", "--no-print-directory", "-s", "-f", "debian/rules", "binary"]
        subprocess.run(words, cwd=place, env=environment, check=True, stdin=subprocess.DEVNULL)
        (made,) = Path(directory).glob(f"runc-wrap_{version}_{archive.machine}.deb")
        return Path(shutil.move(made, to / made.name))


def _lay_sources(archive: Archive, place: Path, version: str) -> None:
    debian = place / "debian"
    debian.mkdir(parents=True)
    for source in _DEBIAN.iterdir():
        (debian / source.name).write_text(package_tree.filled(source.read_text()))
    time = datetime.fromtimestamp(archive.epoch, UTC)
    text = _CHANGELOG.format(version=version, release=archive.version, time=time)
    (debian / "changelog").write_text(text)
    shutil.copy(archive.top / "CHANGELOG.md", place)


def _copyright(archive: Archive) -> str:
    licences = package_tree.licences(archive)
    start = _COPYRIGHT.format(
        licence=licences["runc-wrap"], prefix=package_tree.PREFIX, version=archive.version
    )
    texts = {name: _shortened(text) for name, text in package_tree.licence_texts(archive)}
    names = ["runc-wrap", *(name for name in texts if name != "runc-wrap")]
    parts = [f"{'=' * 78}\n{name}: {licences[name]}\n\n{texts[name]}" for name in names]
    return "\n".join([start, *parts])


def _shortened(text: str) -> str:
    """Have it refer to the licence that every Debian has."""
    return _APACHE.sub(_POINTER, text)


if __name__ == "__main__":
    main()
