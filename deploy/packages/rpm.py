"""The package for Fedora, RHEL, SUSE and their kin, by rpmbuild."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.archive.machines import MACHINES
from deploy.packages import tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.packages.tree import Archive

SPECIFICATION = Path(__file__).parent / "rpm" / "runc-wrap.spec"
# No file is changed on its way into the package, and nothing of this machine gets into it.
_DEFINED = {
    "__os_install_post": "%{nil}",
    "_build_id_links": "none",
    "_buildhost": "runc-wrap",
    "build_mtime_policy": "clamp_to_source_date_epoch",
    "clamp_mtime_to_source_date_epoch": "1",
    "debug_package": "%{nil}",
    "use_source_date_epoch_as_buildtime": "1",
}
_SYSTEMS_OWN = {  # directories of other packages
    "/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/share", "/usr/share/doc",
    "/usr/share/licenses", "/var", "/var/lib",
}  # fmt: skip


def build(archive: Archive, place: Path, to: Path, level: int) -> Path:
    """Build it into `to`; `place` is an empty directory to work in, `level` is xz's."""
    root = place / "root"
    tree.lay(archive, root, tree.ZSH_OF_OTHERS)
    tree.lay_documents(archive, root)
    shutil.copy(archive.top / "CHANGELOG.md", root / "usr/share/doc/runc-wrap")
    shutil.copytree(archive.release / "share/licences", root / "usr/share/licenses/runc-wrap")
    for page in root.glob("usr/share/man/**/*.[18]"):
        subprocess.run(["gzip", "-9n", page], check=True)
    (place / "files").write_text("".join(f"{line}\n" for line in _files(root)))
    (place / "runc-wrap.spec").write_text(_specification(archive, place / "files", root))
    target = MACHINES[archive.machine].kernel
    defined = {**_DEFINED, "_topdir": str(place), "_builddir": str(place), "_rpmdir": str(to)}
    defined["_binary_payload"] = f"w{level}.xzdio"
    words = ["rpmbuild", "-bb", "--quiet", "--noclean", "--nodebuginfo", f"--target={target}-linux"]
    words += [f"--define={name} {value}" for name, value in defined.items()]
    words += [f"--buildroot={root}", "runc-wrap.spec"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(archive.epoch)}
    subprocess.run(words, cwd=place, env=environment, check=True, stdin=subprocess.DEVNULL)
    (made,) = (to / target).glob(f"runc-wrap-{archive.version}-*.rpm")
    path = Path(shutil.move(made, to / made.name))
    made.parent.rmdir()
    return path


def _specification(archive: Archive, files: Path, root: Path) -> str:
    services, sockets = tree.units(root, "service"), tree.units(root, "socket")
    licences = sorted(set(tree.licences(archive).values()))
    return tree.filled(
        SPECIFICATION.read_text(),
        VERSION=archive.version,
        FILES=str(files),
        TIME=f"{datetime.fromtimestamp(archive.epoch, UTC):%a %b %d %Y}",
        LICENCE=" AND ".join(f"({one})" if " OR " in one else one for one in licences),
        SERVICES=" ".join(services),
        UNITS=" ".join([*sockets, *services]),
    )


def _files(root: Path) -> Iterator[str]:
    """Yield the lines of %files, for everything beneath `root`."""
    for path in sorted(root.rglob("*")):
        name = f"/{path.relative_to(root)}"
        quoted = f'"{name}"'
        if path.is_symlink():
            yield f"%attr(-, root, root) {quoted}"
        elif path.is_dir():
            if name not in _SYSTEMS_OWN and _is_ours(name):
                yield f"%dir %attr(755, root, root) {quoted}"
        else:
            mode = "755" if path.stat().st_mode & 0o100 else "644"
            yield f"{_kind(name)}%attr({mode}, root, root) {quoted}"


def _is_ours(directory: str) -> bool:
    return "runc-wrap" in directory


def _kind(name: str) -> str:
    if name.startswith("/etc/"):
        return "%config(noreplace) "
    if name.startswith("/usr/share/licenses/"):
        return "%license "
    return "%doc " if name.startswith(("/usr/share/doc/", "/usr/share/man/")) else ""
