"""Debian's package, by debhelper."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.packages import package_tree

if TYPE_CHECKING:
    from deploy.packages.package_tree import Archive

SOURCE = Path(__file__).parent / "debian"
REVISION = "1"
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


def build(archive: Archive, place: Path, to: Path, level: int) -> Path:
    """Build it into `to`; `place` is an empty directory to work in, `level` is xz's."""
    debian = place / "debian"
    root = debian / "runc-wrap"
    version = f"{archive.version}-{REVISION}"
    _lay_sources(archive, debian, version)
    package_tree.lay(archive, root)
    documents = root / "usr/share/doc/runc-wrap"
    (documents / "copyright").write_text(_copyright(archive))
    package_tree.lay_documents(archive, root)
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(archive.epoch),
        "DEB_HOST_ARCH": archive.machine,
        "DPKG_DEB_COMPRESSOR_LEVEL": str(level),
    }
    words = ["make", "--no-print-directory", "-s", "-f", "debian/rules", "binary"]
    subprocess.run(words, cwd=place, env=environment, check=True, stdin=subprocess.DEVNULL)
    (made,) = place.parent.glob(f"runc-wrap_{version}_{archive.machine}.deb")
    return Path(shutil.move(made, to / made.name))


def _lay_sources(archive: Archive, debian: Path, version: str) -> None:
    debian.mkdir()
    for source in SOURCE.iterdir():
        (debian / source.name).write_text(package_tree.filled(source.read_text()))
    time = datetime.fromtimestamp(archive.epoch, UTC)
    text = _CHANGELOG.format(version=version, release=archive.version, time=time)
    (debian / "changelog").write_text(text)
    shutil.copy(archive.top / "CHANGELOG.md", debian.parent / "CHANGELOG.md")


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
