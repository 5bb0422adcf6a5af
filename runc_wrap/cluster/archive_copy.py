"""The release archive of the image: what it is, and laying it down on the node."""

import hashlib
import shutil
from pathlib import Path

from runc_wrap.host import files
from runc_wrap.node.paths import Places

IMAGE = Path("/runc-wrap")  # the unpacked archive, in the image
_SUMS = "SHA256SUMS"
_LARGEST = 8 << 20  # bytes
_PREFIX = "archive-"


def digest(archive: Path) -> str:
    """Return the digest of all that is in an unpacked archive. Raises OSError and ValueError."""
    return hashlib.sha256(files.read(archive / _SUMS, _LARGEST)).hexdigest()


def version(archive: Path) -> str:
    """Return the version of an unpacked archive: its release's name. Raises OSError."""
    return Path((archive / "lib" / "current").readlink()).name


def lay(archive: Path, places: Places) -> Path:
    """Copy an archive to the node and return where it lies. Raises OSError and ValueError.

    install.sh compares the copy with its SHA256SUMS. What an interrupted copy left is replaced.
    """
    to = places.cluster / f"{_PREFIX}{digest(archive)[:12]}"
    if not to.is_dir():
        places.cluster.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove(places)
        new = to.with_name(f"{to.name}.new")
        shutil.copytree(archive, new, symlinks=True)
        new.rename(to)
    return to


def remove(places: Places) -> None:
    """Remove what `lay` laid down: the release in force is another copy."""
    for old in places.cluster.glob(f"{_PREFIX}*"):
        shutil.rmtree(old, ignore_errors=True)
