"""Builds the package: python -m deploy.packages.debian_package [--archives DIR] [--to DIR] [ARCH].

It lays an unpacked archive out as a distribution has it, then has debhelper pack it:

/usr/lib/runc-wrap                     the prefix; lib/releases/VERSION is the archive's release
/usr/bin/runc-wrap, runc-wrapctl       links
/etc/runc-wrap, /var/lib/runc-wrap     what `etc` and `var` in the prefix lead to
/usr/lib/systemd/system, /usr/share/…  units, man pages, completions, documents

`lib/current` and `bin/runc-wrap` are not of the package: dpkg replaces one file after
another, and a container must start at each moment between. node/switch-release makes them.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from deploy.archive.__main__ import parsed, unpacked
from deploy.archive.programs import SOURCE
from deploy.archive.release import Release
from deploy.archive.sbom import NAME as SBOM
from deploy.archive.sbom import OWN as _OWN

OWN = Path(__file__).parent / "node"
DEFAULT_PREFIX = "/opt/runc-wrap"
PREFIX = "/usr/lib/runc-wrap"
_ETC, _VAR = "/etc/runc-wrap", "/var/lib/runc-wrap"
_LINKS = {
    f"{PREFIX}/bin/runc-wrapctl": "../lib/current/venv/bin/runc-wrapctl",
    f"{PREFIX}/etc": _ETC,
    f"{PREFIX}/hooks": "lib/current/hooks",
    f"{PREFIX}/lib/runtime": f"{_VAR}/runtime",
    f"{PREFIX}/var": _VAR,
    "/usr/bin/runc-wrap": "../lib/runc-wrap/bin/runc-wrap",
    "/usr/bin/runc-wrapctl": "../lib/runc-wrap/bin/runc-wrapctl",
}
_DIRECTORIES = (f"{_ETC}/conf.d", f"{_ETC}/profiles", f"{_VAR}/runtime", "/usr/share/doc/runc-wrap")
UNITS = "/usr/lib/systemd/system"
# in the release's share -> in the file system
_SHARED = {
    "systemd": UNITS,
    "man": "/usr/share/man",
    "completions/bash": "/usr/share/bash-completion/completions",
    "completions/fish": "/usr/share/fish/vendor_completions.d",
    "completions/zsh": "/usr/share/zsh/vendor-completions",
}
_PROGRAMS = ("switch-release", "leave-path")
# Which README.md links to.
_DOCUMENTS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "NOTICE", "docs")
_SOURCES = Path(__file__).parent / "debian"
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
# What every Debian has
_POINTER = "Apache License, Version 2.0: see /usr/share/common-licenses/Apache-2.0.\n"


def main() -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m deploy.packages", description=__doc__)
    parser.add_argument("--archives", type=Path, default=SOURCE / "build" / "dist")
    options = parsed(parser)
    for machine in options.machines:
        with tempfile.TemporaryDirectory(prefix="runc-wrap-packages-") as place:
            found = unpacked(options.archives, machine, Path(place))
            package = build(found, machine.debian, options.to)
        print(f"{package}  {package.stat().st_size / 1e6:.1f} MB")  # noqa: T201 - a program


def build(archive: Release, machine: str, to: Path, level: int = 6) -> Path:
    """Build the package of an unpacked archive into `to`; `level` is xz's.

    `machine` is the architecture as Debian names it. All its files have the archive's time.
    """
    epoch = int((archive.top / "install.sh").stat().st_mtime)
    with tempfile.TemporaryDirectory(prefix="runc-wrap-packages-") as directory:
        place = Path(directory) / "build"  # beside which debhelper puts it
        root = place / "debian" / "runc-wrap"
        version = f"{archive.version}-{_REVISION}"
        _lay_sources(archive, place, version, epoch)
        lay(archive, root)
        (root / "usr/share/doc/runc-wrap/copyright").write_text(_copyright(archive))
        environment = {
            **os.environ,
            "SOURCE_DATE_EPOCH": str(epoch),
            "DEB_HOST_ARCH": machine,
            "DPKG_DEB_COMPRESSOR_LEVEL": str(level),
        }
        words = ["make", "--no-print-directory", "-s", "-f", "debian/rules", "binary"]
        subprocess.run(words, cwd=place, env=environment, check=True, stdin=subprocess.DEVNULL)
        (made,) = Path(directory).glob(f"runc-wrap_{version}_{machine}.deb")
        return Path(shutil.move(made, to / made.name))


def _lay_sources(archive: Release, place: Path, version: str, epoch: int) -> None:
    debian = place / "debian"
    debian.mkdir(parents=True)
    for source in _SOURCES.iterdir():
        (debian / source.name).write_text(filled(source.read_text()))
    time = datetime.fromtimestamp(epoch, UTC)
    text = _CHANGELOG.format(version=version, release=archive.version, time=time)
    (debian / "changelog").write_text(text)
    shutil.copy(archive.top / "CHANGELOG.md", place)


def _copyright(archive: Release) -> str:
    """Return each part's licence, as SPDX names it, and its texts; our own comes first."""
    document = json.loads((archive.share / SBOM).read_text())
    parts = [document["metadata"]["component"], *document["components"]]
    stated = {part["name"].lower(): part["licenses"][0] for part in parts}
    named = {name: one.get("expression") or one["license"]["id"] for name, one in stated.items()}
    said = [_COPYRIGHT.format(licence=named[_OWN], prefix=PREFIX, version=archive.version)]
    directories = (archive.share / "licences").iterdir()
    for part in sorted(directories, key=lambda each: (each.name != _OWN, each)):
        files = sorted(path for path in part.rglob("*") if path.is_file())
        text = "\n".join(path.read_text(errors="replace") for path in files)
        head = f"{'=' * 78}\n{part.name}: {named[part.name]}\n\n"
        said.append(head + _APACHE.sub(_POINTER, text))
    return "\n".join(said)


def lay(archive: Release, root: Path) -> None:
    """Lay the files out in `root`, but for the copyright file.

    Licence and changelog, which the README links to, are the package's own.
    """
    release = root / f"{PREFIX[1:]}/lib/releases/{archive.version}"
    ignored = shutil.ignore_patterns("licences")  # they are in one file
    shutil.copytree(archive.directory, release, symlinks=True, ignore=ignored)
    for directory in _DIRECTORIES:
        (root / directory[1:]).mkdir(parents=True)
    for name, place in _SHARED.items():
        if (shared := release / "share" / name).is_dir():
            (root / place[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(shared, root / place[1:])
    shutil.rmtree(release / "share" / "completions", ignore_errors=True)
    for path in [*(release / "hooks").glob("*.d/*.json"), *(root / UNITS[1:]).iterdir()]:
        path.write_text(path.read_text().replace(DEFAULT_PREFIX, PREFIX))
    for name in _PROGRAMS:
        program = root / f"{PREFIX[1:]}/lib/{name}"
        program.write_text(filled((OWN / name).read_text(), VERSION=archive.version))
        program.chmod(0o755)
    shutil.copy(OWN / "config.toml", root / f"{_ETC[1:]}/config.toml")
    for link, target in _LINKS.items():
        (root / link[1:]).parent.mkdir(parents=True, exist_ok=True)
        (root / link[1:]).symlink_to(target)
    for name in _DOCUMENTS:
        source = archive.top / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, root / "usr/share/doc/runc-wrap" / name)


def filled(text: str, **values: str) -> str:
    """Return a template with each @NAME@ replaced by its value, or by node/name.sh."""
    for fragment in OWN.glob("*.sh"):
        values.setdefault(fragment.stem.upper(), fragment.read_text())
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


if __name__ == "__main__":
    main()
