"""What lies in the image, as a directory."""

import shutil
from pathlib import Path

from deploy.archive import debian_packages, interpreter, programs, sbom, wheels
from deploy.archive.debian_packages import Package
from deploy.archive.machines import Machine
from deploy.archive.release import Release
from runc_wrap.cluster import api_server, archive_copy

_OWN = "installer"
_FROM = {"libzstd.so.1": "libzstd1", "libcrypto.so.3": "libssl3t64", "libssl.so.3": "libssl3t64"}
# Where the DaemonSet mounts something: a read-only root has these directories from the beginning.
_MOUNTED = ("host/systemd", "host/agent", "opt/runc-wrap", "policy/config", "policy/profiles",
            "run/runc-wrap", "var/run", "dev", "proc", "sys", "etc", "tmp")  # fmt: skip


def lay(root: Path, unpacked: Release, machine: Machine, parts: Path, epoch: int) -> None:
    """Lay it out from an archive, which goes there; `parts` keeps what is fetched.

    Raises SystemExit.
    """
    for name in _MOUNTED:
        (root / name).mkdir(parents=True)
    top = unpacked.top.rename(root / archive_copy.IMAGE.relative_to("/"))
    release = Release(top, unpacked.version)
    names = debian_packages.RUNTIME | debian_packages.IMAGE
    locked = debian_packages.locked(machine.debian, names)
    packages = debian_packages.fetched(machine, parts, locked, strict=False)
    words = programs.compiler(machine, packages["musl-dev"], root.parent)
    probe = Path(__file__).with_name("is_ready.c")
    programs.compiled(probe, words, root / _OWN / "is-ready")
    tls = root / api_server.TLS.relative_to("/")
    _lay_tls(tls, machine, packages)
    programs.check_libraries(tls.glob("*.so*"), tls, release.venv / "lib" / "private")
    for name in debian_packages.IMAGE:
        licences = root / _OWN / "licences" / name
        licences.mkdir(parents=True)
        shutil.copy(packages[name].documents / "copyright", licences)
    document = sbom.text(machine, packages.values(), wheels.installed(release.packages), epoch)
    (root / _OWN / sbom.NAME).write_text(document)


def _lay_tls(to: Path, machine: Machine, packages: dict[str, Package]) -> None:
    to.mkdir(parents=True)
    library = packages["libpython3.13-minimal"].tree / "usr" / "lib" / interpreter.VERSION
    shutil.copy(library / "ssl.py", to)
    (found,) = (library / "lib-dynload").glob("_ssl.cpython-*.so")
    shutil.copy(found, to)
    for name in api_server.TLS_LIBRARIES:
        directory = packages[_FROM[name]].tree / machine.libraries
        shutil.copy((directory / name).resolve(), to / name)
