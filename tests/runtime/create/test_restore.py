"""restore: CRIU restores the filters of the processes; the config decides about later ones.

So restore is edited like create: otherwise a process that is exec'd into a container restored
from a config without seccomp would be unconfined, beside confined ones.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from harness.containers.bundles import seccomp_of_exec
from harness.kernel import process_status
from harness.node.requirements import requires

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from tests.runtime.conftest import Pair


@pytest.fixture
def bundle(make_bundle: Callable[..., Bundle], built: Callable[[str], Path]) -> Bundle:
    """A bundle whose process CRIU can restore: busybox's sleep crashes after a restore here."""
    requires("criu")
    bundle = make_bundle("runc")
    shutil.copy(built("pause"), bundle.path / "rootfs" / "pause")
    config = bundle.read()
    config["process"]["args"] = ["/pause"]
    bundle.config.write_text(json.dumps(config))
    return bundle


def _checkpointed(bundle: Bundle, runtime: str) -> None:
    work = ("--image-path", str(bundle.path / "image"), "--work-path", str(bundle.path / "work"))
    done = bundle.call(runtime, "checkpoint", *work)
    assert done.returncode == 0, done.stdout


def _restored(bundle: Bundle, runtime: object) -> int:
    image = ("--image-path", str(bundle.path / "image"), "--detach")
    return bundle.create(str(runtime), "restore", *image)


def test_a_process_execd_after_a_restore_is_confined_like_those_restored(
    runc: Pair, bundle: Bundle
) -> None:
    without = bundle.config.read_bytes()  # what the engine writes anew for a restore
    assert process_status.seccomp(bundle.create(runc.wrapped)) == 2
    _checkpointed(bundle, runc.bare)

    bundle.config.write_bytes(without)
    assert process_status.seccomp(_restored(bundle, runc.bare)) == 2  # CRIU's doing
    assert seccomp_of_exec(bundle, runc.bare) == 0  # the hole
    bundle.delete(runc.bare)

    assert process_status.seccomp(_restored(bundle, runc.wrapped)) == 2
    assert seccomp_of_exec(bundle, runc.wrapped) == 2


def test_a_container_that_ran_unconfined_before_stays_so_after_a_restore(
    runc: Pair, bundle: Bundle
) -> None:
    assert process_status.seccomp(bundle.create(runc.bare)) == 0
    _checkpointed(bundle, runc.bare)
    assert process_status.seccomp(_restored(bundle, runc.wrapped)) == 0  # no filter was dumped
    assert seccomp_of_exec(bundle, runc.wrapped) == 2
