"""A second release in an installation: the same code under another name."""

import shutil
from pathlib import Path

from harness.node.install import Installed

NAME = "new"


def lay_out_second(node: Installed) -> Path:
    """Make the second release and return its directory; the first stays in force."""
    releases = node.prefix / "lib" / "releases"
    old, shared = node.release, releases.resolve()
    releases.unlink()
    releases.mkdir()
    (releases / old.name).symlink_to(shared / old.name)
    shutil.copytree(old, releases / NAME, symlinks=True)
    return releases / NAME


def switch(prefix: Path) -> None:
    """Put the other one of the two in force, as install.sh does."""
    current = prefix / "lib" / "current"
    names = [path.name for path in (prefix / "lib" / "releases").iterdir()]
    (other,) = [name for name in names if name != current.readlink().name]
    link = prefix / "lib" / "current.new"
    link.symlink_to(f"releases/{other}")
    link.replace(current)
