"""The machine that this folder's tests run on: a virtual one, or a box."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from harness.node.requirements import requires
from tests.boxes import box
from tests.vm import machine
from tests.vm.booted import LOAD, booted
from tests.vm.image import SUITE, image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.node.guest import Guest

IN_A_BOX = os.environ.get("RUNC_WRAP_BOX") == "1"
NEEDS = box.NEEDS if IN_A_BOX else machine.NEEDS
# containerd 2 cannot be told to do without cgroup controllers, which a box may not have.
CRI_WORKS = not (IN_A_BOX and SUITE == "forky")


@contextlib.contextmanager
def guest_of(directory: Path, containers: Path) -> Iterator[Guest]:
    """Give a booted machine of the suite, whose engines have the image; it is off afterwards."""
    requires(*NEEDS, root=True)
    if IN_A_BOX:
        with box.box(SUITE, directory) as on:
            on.copy_in([containers], "/root")
            on.sh(LOAD)
            yield on
        return
    disk = image(SUITE)
    with machine.machine(disk, directory, booted(disk, containers)) as on:
        yield on
