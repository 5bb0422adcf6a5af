"""A machine that has booted and whose engines have the container image: kept, to go on from.

An emulated boot and the loading take more than a minute, and every run of tests would begin with
them. Kept are a layer over the suite's disk, and the memory. Boots within a test are real ones.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from typing import TYPE_CHECKING

from harness.host.processes import run, short_directory
from harness.node.requirements import program
from tests.vm import machine
from tests.vm.image import STAMP
from tests.worlds.debian import alone

if TYPE_CHECKING:
    from pathlib import Path

    from tests.vm.image import Image

# Loads image.tar of root's directory into each engine's store.
LOAD = """
cd /root; docker load -q -i image.tar; podman load -q -i image.tar
ctr images import image.tar; ctr -n k8s.io images import image.tar
"""
UNUSED = 86400.0  # seconds after which what other checkouts kept is removed


def booted(image: Image, containers: Path) -> machine.Kept:
    """Return the kept machine of these two; boot and keep it unless there is one."""
    ingredients = (
        (image.path / STAMP).read_text(),
        hashlib.sha256(containers.read_bytes()).hexdigest(),
        run([program("qemu-system-x86_64"), "--version"]).stdout,
        repr((machine.HARDWARE, machine.processor(), LOAD)),
    )
    digest = hashlib.sha256("\n".join(ingredients).encode()).hexdigest()[:12]
    place = image.path / f"booted-{digest}"
    with alone(image.path / "booted.lock"):
        if not place.is_dir():
            _remove_unused(image.path)
            _make(image, containers, place)
        os.utime(place)
    return machine.Kept(place)


def _make(image: Image, containers: Path, place: Path) -> None:
    new = place.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    with short_directory("vm") as directory, machine.machine(image, directory) as made:
        made.copy_in([containers], "/root")
        made.sh(LOAD)
        made.sh("sync")
        made.keep(machine.Kept(new))
    new.rename(place)


def _remove_unused(images: Path) -> None:
    oldest = time.time() - UNUSED
    for kept in images.glob("booted-*"):
        if kept.stat().st_mtime < oldest:
            shutil.rmtree(kept)
