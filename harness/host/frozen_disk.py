"""A disk that does not answer: writers to a file system wait until it is thawed (fsfreeze(8))."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from harness.host.processes import run
from harness.node.requirements import requires

_SIZE = 16 << 20  # bytes


@contextlib.contextmanager
def own_disk(directory: Path, image: Path) -> Iterator[None]:
    """Mount a separate file system on a directory, in the new file `image`."""
    requires("mkfs.ext4", "fsfreeze", "/dev/loop-control", root=True)
    with image.open("wb") as file:
        file.truncate(_SIZE)
    run(["mkfs.ext4", "-q", image])
    directory.mkdir(parents=True, exist_ok=True)
    run(["mount", "-o", "loop,noatime", image, directory])
    try:
        yield
    finally:
        run(["umount", directory])


@contextlib.contextmanager
def frozen(directory: Path) -> Iterator[None]:
    """Make every writer there wait, unkillable, during the block."""
    run(["fsfreeze", "--freeze", directory])
    try:
        yield
    finally:
        run(["fsfreeze", "--unfreeze", directory])
