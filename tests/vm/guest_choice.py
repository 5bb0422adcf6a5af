"""The machine that this folder's tests run on: a virtual one, or a box."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from harness.node.requirements import requires
from tests.boxes import box
from tests.vm import machine
from tests.vm.image import SUITE, image

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from harness.node.guest import Guest

IN_A_BOX = os.environ.get("RUNC_WRAP_BOX") == "1"
NEEDS = box.NEEDS if IN_A_BOX else machine.NEEDS
# containerd 2 cannot be told to do without cgroup controllers, which a box may not have.
CRI_WORKS = not (IN_A_BOX and SUITE == "forky")


def guest_of(directory: Path) -> AbstractContextManager[Guest]:
    """Give a freshly booted machine of the suite; it is off afterwards."""
    requires(*NEEDS, root=True)
    if IN_A_BOX:
        return box.box(SUITE, directory)
    return machine.machine(image(SUITE), directory)
