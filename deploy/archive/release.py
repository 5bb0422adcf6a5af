"""One unpacked archive: an installation without policy, as install.sh would have made it.

TOP/install.sh README.md LICENSE NOTICE CHANGELOG.md SHA256SUMS sbom.cdx.json
TOP/docs CONTRIBUTING.md SECURITY.md           which README.md links to
TOP/bin etc hooks lib var          as in PREFIX; lib/releases/VERSION is the release
RELEASE/hotpath hooks python runc-wrap venv     as install.sh has them
RELEASE/share/licences/NAME/…      of all that is in it
RELEASE/share/systemd/…            the units
RELEASE/share/man completions      as deploy/manual writes them
RELEASE/share/sbom.cdx.json        what is in it
"""

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.archive import interpreter, programs, wheels
from deploy.archive.debian_packages import Package
from deploy.archive.machines import Machine
from deploy.archive.programs import SOURCE
from runc_wrap.installation import releases

_DOCUMENTS = """
README.md LICENSE NOTICE CHANGELOG.md CONTRIBUTING.md SECURITY.md install.sh
""".split()
_TAR = "tar --format=gnu --sort=name --owner=0 --group=0 --numeric-owner".split()
_MODE = "--mode=u=rwX,go=rX,a-s,-t"
_LICENCES = ("licen", "copying", "notice", "authors")  # as names of files begin
SMALLEST = 9  # of xz's presets, the slowest: 1 takes a tenth of the time, and a fifth more bytes


@dataclass(frozen=True)
class Release:
    """An unpacked archive of one version at `top`."""

    top: Path
    version: str

    @property
    def directory(self) -> Path:
        """Return what PREFIX/lib/current leads to."""
        return self.top / "lib" / "releases" / self.version

    @property
    def venv(self) -> Path:
        """Return the interpreter's prefix."""
        return self.directory / "venv"

    @property
    def packages(self) -> Path:
        """Return where Python packages lie."""
        return self.venv / "lib" / interpreter.VERSION / "site-packages"

    @property
    def share(self) -> Path:
        """Return what is not for Python: units, licences."""
        return self.directory / "share"


def lay(release: Release, machine: Machine, debian: dict[str, Package], place: Path) -> None:
    """Lay out everything but what `compile_all` and `finish` add; `place` is for files between."""
    compiler = programs.compiler(machine, debian["musl-dev"], place)
    start = place / f"start-{machine.debian}"
    programs.compiled(interpreter.OWN / "start.c", compiler, start)
    interpreter.lay(release.venv, machine, debian, start)
    found = wheels.fetched(machine, SOURCE / "requirements" / "runtime.txt", place)
    for wheel in (*found, wheels.own(SOURCE, machine, compiler, place)):
        wheels.unpack(wheel, release.packages)
    libraries = [*release.venv.rglob("*.so"), *release.venv.rglob("*.so.*")]
    private = release.venv / "lib" / "private"
    programs.check_libraries([*libraries, private / "cpython"], private)
    if why := releases.take_launcher(release.packages, release.directory):
        raise SystemExit(f"no launcher: {why}")
    programs.check_static(release.directory / "runc-wrap")
    releases.copy_hot_path(release.packages, release.directory)
    releases.lay_hooks_and_units(SOURCE, release.directory)
    (release.directory / "python").symlink_to("venv/bin/python")
    _lay_prefix(release)


def _lay_prefix(release: Release) -> None:
    top = release.top
    for directory in ("bin", "etc/conf.d", "etc/profiles", "var"):
        (top / directory).mkdir(parents=True)
    shutil.copy(release.directory / "runc-wrap", top / "bin")
    (top / "bin" / "runc-wrapctl").symlink_to("../lib/current/venv/bin/runc-wrapctl")
    (top / "lib" / "current").symlink_to(f"releases/{release.version}")
    (top / "hooks").symlink_to("lib/current/hooks")
    for name in _DOCUMENTS:
        shutil.copy(SOURCE / name, top)
    shutil.copytree(SOURCE / "docs", top / "docs")


def compile_all(release: Release, native: Release) -> None:
    """Compile all modules and pack the hot path, by the interpreter of this machine's release.

    Byte code is the same for every kind of machine. A file is known by its source's digest, which
    nobody compares: an unpacked archive, or a copy of it, has whatever times of files.
    """
    words = ["-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    directories = [release.venv / "lib" / interpreter.VERSION, release.directory / "hotpath"]
    first = release.venv / "lib" / interpreter.FIRST
    _python(native, *words, "-s", release.directory, *directories)
    _python(native, *words, "-b", "-s", release.directory, first)
    for source in first.rglob("*.py"):
        source.unlink()
    if release is native:
        script = release.packages / "runc_wrap" / "launcher" / "pack_hotpath.py"
        _python(native, "-X", "no_debug_ranges", script, release.directory / "hotpath")
    else:
        shutil.copy(native.directory / "hotpath" / "hotpath.packed", release.directory / "hotpath")


def _python(native: Release, *words: str | Path) -> None:
    """Run a program; whatever depends on the hash of a string is the same each time."""
    argv = [native.venv / "bin" / "python", "-s", "-S", "-B", *words]
    subprocess.run(argv, check=True, env={"PYTHONHASHSEED": "0"})


def write_share(release: Release, native: Release, epoch: int) -> None:
    """Write the manual and the completions, by the packages of this machine's release."""
    argv: list[str | Path] = [native.venv / "bin" / "python", "-s", "-B", "-m", "deploy.manual"]
    when = {"SOURCE_DATE_EPOCH": str(epoch)}
    subprocess.run([*argv, release.share, release.version], check=True, env=when, cwd=SOURCE)


def collect_licences(release: Release, debian: dict[str, Package], epoch: int) -> None:
    """Put the licences of all that is in it into one directory, by component.

    Beside them lies what is changed, with the date of `epoch`.
    """
    target = release.share / "licences"
    for package in debian.values():
        if package.licence:
            copyright_file = _copyright(package, debian)
            (target / package.name).mkdir(parents=True)
            shutil.copy(copyright_file, target / package.name)
    day = f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d}"
    for name, changes in interpreter.CHANGES.items():
        (target / name / "CHANGES").write_text(f"{day}: {changes}\n")
    for wheel in wheels.installed(release.packages):
        named = (path for path in wheel.metadata.rglob("*") if path.is_file())
        files = [path for path in named if path.name.lower().startswith(_LICENCES)]
        if not files:
            raise SystemExit(f"{wheel.metadata} has no licence")
        (target / wheel.name.lower()).mkdir()
        for path in files:
            shutil.copy(path, target / wheel.name.lower())


def _copyright(package: Package, debian: dict[str, Package]) -> Path:
    """Return its copyright file; the directory may be a link to another package's."""
    directory = package.documents
    while directory.is_symlink():
        directory = debian[os.readlink(directory)].documents  # noqa: PTH115 - a name, no path
    return directory / "copyright"


def write_sums(release: Release) -> None:
    """Write SHA256SUMS as sha256sum(1) has it: one line for each file, links left out."""
    files = (path for path in release.top.rglob("*") if path.is_file() and not path.is_symlink())
    sum_up(release.top, sorted(files))


def sum_up(top: Path, files: list[Path]) -> None:
    """Write TOP/SHA256SUMS of files below a directory."""
    sums = ((hashlib.sha256(path.read_bytes()).hexdigest(), path) for path in files)
    lines = [f"{digest}  {path.relative_to(top)}\n" for digest, path in sums]
    (top / "SHA256SUMS").write_text("".join(lines))


def pack(release: Release, to: Path, epoch: int, preset: int) -> Path:
    """Pack it as a .tar.xz whose bytes depend on names, contents and one time alone; return that.

    There it has its own name, owned by root; `epoch` is the time of all files, `preset` xz's.
    """
    write_sums(release)
    target = to / f"{release.top.name}.tar.xz"
    new = target.with_name(f"{target.name}.new")
    extreme = "e" if preset == SMALLEST else ""
    words = [*_TAR, _MODE, f"--mtime=@{epoch}", f"--use-compress-program=xz -T1 -{preset}{extreme}"]
    subprocess.run([*words, "-C", release.top.parent, "-cf", new, release.top.name], check=True)
    return new.rename(target)
