"""What an installation did outside of its directory, so that `uninstall` takes back exactly that.

PREFIX/lib/installation.json is written before each such change and after it. Reads what earlier
releases wrote, which have none, as empty.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from runc_wrap.host import files

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
_LARGEST = 1 << 20  # bytes
_FORMER = ("handed_over", "reread")  # of an uninstall that was to be run again


class Damaged(Exception):
    """The record cannot be read; the message says why."""


@dataclass
class Record:
    """`units` in systemd's directory; `links` {path: target}; `directories` made for them.

    `packages`: Debian packages that install.sh installed.
    """

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


def load(prefix: Path) -> Record:
    """Return the record, an empty one if there is none. Raises Damaged and OSError."""
    path = place(prefix)
    try:
        found = json.loads(files.read(path, _LARGEST))
        if found.pop("format") != FORMAT:
            raise Damaged(
                f"{path} is of a newer release: use that one's install.sh or runc-wrapctl"
            )
        for former in _FORMER:
            found.pop(former, None)
        return Record(**found)
    except FileNotFoundError:
        return Record()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{path} is damaged ({error!r}): remove it, and install again") from None


def save(prefix: Path, record: Record) -> None:
    """Replace the record."""
    text = json.dumps({"format": FORMAT, **asdict(record)}, indent=1) + "\n"
    files.replace(place(prefix), text.encode(), 0o644, writer="record")
