"""The files of a package, laid out from an unpacked archive.

/usr/lib/runc-wrap                     the prefix; lib/releases/VERSION is the archive's release
/usr/bin/runc-wrap, runc-wrapctl       links
/etc/runc-wrap, /var/lib/runc-wrap     what `etc` and `var` in the prefix lead to
/usr/lib/systemd/system, /usr/share/…  units, man pages, completions, documents

`lib/current` and `bin/runc-wrap` are not of the package: dpkg replaces one file after
another, and a container must start at each moment between. node/switch-release makes them.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.archive.sbom import NAME as SBOM

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@dataclass(frozen=True)
class Archive:
    """An unpacked archive at `top`, for the architecture `machine` as Debian names it."""

    top: Path
    machine: str

    @property
    def release(self) -> Path:
        """Return what lib/current leads to."""
        return (self.top / "lib" / "current").resolve()

    @property
    def version(self) -> str:
        """Return the version."""
        return self.release.name

    @property
    def epoch(self) -> int:
        """Return the time of all its files, which the packages' files have, too."""
        return int((self.top / "install.sh").stat().st_mtime)


def lay(archive: Archive, root: Path) -> None:
    """Lay the files out in `root`, except documents."""
    release = root / f"{PREFIX[1:]}/lib/releases/{archive.version}"
    ignored = shutil.ignore_patterns("licences")  # __main__.py has them in one file
    shutil.copytree(archive.release, release, symlinks=True, ignore=ignored)
    for directory in _DIRECTORIES:
        (root / directory[1:]).mkdir(parents=True)
    _move_shared(release / "share", root)
    _name_prefix(release, root)
    for name in _PROGRAMS:
        text = filled((OWN / name).read_text(), VERSION=archive.version)
        (root / f"{PREFIX[1:]}/lib/{name}").write_text(text)
        (root / f"{PREFIX[1:]}/lib/{name}").chmod(0o755)
    shutil.copy(OWN / "config.toml", root / f"{_ETC[1:]}/config.toml")
    for link, target in _LINKS.items():
        (root / link[1:]).parent.mkdir(parents=True, exist_ok=True)
        (root / link[1:]).symlink_to(target)


def lay_documents(archive: Archive, root: Path) -> None:
    """Lay down the README and what it links to; licence and changelog are the package's own."""
    for name in _DOCUMENTS:
        source, place = archive.top / name, root / "usr/share/doc/runc-wrap" / name
        if source.is_dir():
            shutil.copytree(source, place)
        else:
            shutil.copy(source, place)


def filled(text: str, **values: str) -> str:
    """Return a template with each @NAME@ replaced by its value, or by node/name.sh."""
    for fragment in OWN.glob("*.sh"):
        values.setdefault(fragment.stem.upper(), fragment.read_text())
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _move_shared(share: Path, root: Path) -> None:
    for name, place in _SHARED.items():
        if (share / name).is_dir():
            (root / place[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(share / name, root / place[1:])
    shutil.rmtree(share / "completions", ignore_errors=True)


def _name_prefix(release: Path, root: Path) -> None:
    for path in [*(release / "hooks").glob("*.d/*.json"), *(root / UNITS[1:]).iterdir()]:
        path.write_text(path.read_text().replace(DEFAULT_PREFIX, PREFIX))


def licences(archive: Archive) -> dict[str, str]:
    """Return the SPDX expression of each part, by its name; our own is runc-wrap."""
    document = json.loads((archive.release / "share" / SBOM).read_text())
    parts = [document["metadata"]["component"], *document["components"]]
    return {part["name"].lower(): _expression(part) for part in parts}


def _expression(part: dict[str, list[dict[str, dict[str, str] | str]]]) -> str:
    (stated,) = part["licenses"]
    one = stated.get("license")
    return str(one["id"]) if isinstance(one, dict) else str(stated["expression"])


def licence_texts(archive: Archive) -> Iterator[tuple[str, str]]:
    """Yield each part's name and its licence texts."""
    for directory in sorted((archive.release / "share" / "licences").iterdir()):
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        yield directory.name, "\n".join(path.read_text(errors="replace") for path in files)
