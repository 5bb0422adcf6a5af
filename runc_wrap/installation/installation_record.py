"""What an installation did outside of its directory, so that `uninstall` takes back exactly that.

PREFIX/lib/installation.json is part of the change set (installer.py). One that is missing is empty.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

from runc_wrap.documents.reader import read
from runc_wrap.failure import Failure
from runc_wrap.host import change_set, files
from runc_wrap.host.change_set import PathChange

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST = 1 << 20  # bytes


class Damaged(Failure):
    """The record cannot be read; the message says why."""


@dataclass
class InstallationRecord:
    """`units` in systemd's directory; `links` {path: target}; `directories` made for them.

    `packages`: Debian packages that install.sh installed.
    """

    format: Literal[1] = 1
    units: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)


def place(prefix: Path) -> Path:
    """Return the record's path."""
    return prefix / "lib" / "installation.json"


def is_there(prefix: Path) -> bool:
    """Tell whether a directory has an installation, also a damaged one or a package's."""
    return (prefix / "lib" / "current").is_symlink() or place(prefix).exists()


def told_missing(prefix: Path) -> str:
    """Return what to do about a directory without one."""
    return f"{prefix} has no installation: give the one that has by --prefix"


def load(prefix: Path) -> InstallationRecord:
    """Return the record, an empty one if there is none. Raises Damaged and OSError."""
    path = place(prefix)
    try:
        return read(InstallationRecord, files.read(path, _LARGEST))
    except FileNotFoundError:
        return InstallationRecord()
    except ValueError as error:  # too large, not regular, or no such record
        raise Damaged(
            f"{path} cannot be used ({error}): use the install.sh or runc-wrapctl of the newer "
            "release that wrote it, or remove it and install again"
        ) from None


def save(prefix: Path, record: InstallationRecord) -> None:
    """Replace the record."""
    files.replace(place(prefix), _text(record), 0o644, writer="record")


def change(prefix: Path, record: InstallationRecord) -> PathChange:
    """Return what replaces it, as a part of a change set. Raises OSError and ValueError."""
    path = place(prefix)
    return PathChange(path, change_set.content(path), _text(record), is_ours=True)


def _text(record: InstallationRecord) -> bytes:
    return (json.dumps(asdict(record), indent=1) + "\n").encode()
