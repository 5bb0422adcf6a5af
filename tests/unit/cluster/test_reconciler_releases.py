"""The installer and another release: proved by a canary, or refused beside the one in force."""

import contextlib
import shutil
from functools import partial
from typing import Any

import pytest

from runc_wrap.cluster import archive_copy
from tests.unit.cluster.conftest import INSTALLED, READY, Scene
from tests.unit.cluster.host_stand_in import Killed

UNIT = "runc-wrap-cluster-{}-aaaaaaaa.service"
ANEW = "preflight install status prove status"
NO_CANARY = "nothing starts through the handler"


def _unproved(scene: Scene) -> None:
    scene.make_image("2")
    scene.host.fails["prove"] = NO_CANARY
    scene.passes("unproved")


def test_a_rollback_from_a_release_that_is_not_proved_is_proved_itself(ready: Scene) -> None:
    """What broke its canary may be the node, and not the release."""
    _unproved(ready)
    ready.make_image("1")  # kubectl rollout undo
    assert ready.passes("unproved", ANEW).why == NO_CANARY
    assert READY not in ready.labels
    del ready.host.fails["prove"]
    ready.make_image("2")
    ready.passes("ready")
    assert ready.labels[READY] == "true"


@pytest.mark.parametrize("step", ["prove", "register"])
def test_what_began_with_the_release_before_proves_nothing(ready: Scene, step: str) -> None:
    """A pod was killed, and left its unit, which still runs when one of another image looks."""
    ready.make_image("2")
    ready.host.leave(UNIT.format(step), *[lambda: None] * 3)
    ready.passes("ready", ANEW)
    assert not any(ready.host.left.values())


def test_an_earlier_release_stays_ready_under_its_own_version(ready: Scene) -> None:
    releases = ready.place / "image" / "lib"
    (releases / "releases" / "0.3.0").mkdir()
    (releases / "current").unlink()
    (releases / "current").symlink_to("releases/0.3.0")
    ready.make_image("2")
    ready.host.fails["preflight"] = "containerd refuses its configuration"
    ready.passes("refused")
    assert ready.labels == {INSTALLED: "true", READY: "true", "runc-wrap.dev/version": "0.2.0"}


def test_half_an_archive_that_a_killed_pod_laid_down_is_replaced(scene: Scene) -> None:
    """install.sh would refuse it again and again."""
    image = scene.place / "image"
    for name in ("a", "b"):
        (image / name).write_text(name)
    copy, copied = shutil.copy2, list[str]()

    def dies(file: str, *words: Any, **more: Any) -> Any:
        if copied:
            raise Killed
        copied.append(file)
        return copy(file, *words, **more)

    real = shutil.copytree
    with scene.patch.context() as patch:
        patch.setattr(shutil, "copytree", partial(real, copy_function=dies))
        with pytest.raises(Killed):
            archive_copy.lay(image, scene.host.places)
    laid = archive_copy.lay(image, scene.host.places)
    assert {path.name for path in laid.iterdir()} == {path.name for path in image.iterdir()}


def test_what_a_killed_pod_of_another_image_began_is_waited_for(ready: Scene) -> None:
    """Its install.sh runs from the archive that it laid down, and holds the installation's lock."""
    ready.make_image("2")
    laid = archive_copy.lay(ready.place / "image", ready.host.places)
    seen: list[bool] = []
    ready.host.leave(UNIT.format("install"), *[lambda: seen.append(laid.is_dir())] * 3)
    ready.make_image("3")
    ready.passes("ready", ANEW)
    assert seen == [True] * 3
    assert not [*ready.host.places.cluster.glob("archive-*")]


def _replaced_while_it_installs(scene: Scene, image: str) -> None:
    """Have a pod of this image end after it began install.sh, which has not put it in force yet."""
    scene.make_image(image)

    def begin() -> None:
        raise Killed

    with scene.patch.context() as patch, contextlib.suppress(Killed):
        patch.setattr(scene.host, "install", begin)
        scene.installer().run()
    scene.host.leave(UNIT.format("install"), lambda: None, scene.host.install)


def test_what_a_killed_pod_of_the_same_image_began_is_not_done_twice(scene: Scene) -> None:
    _replaced_while_it_installs(scene, "1")
    scene.passes("waiting", "apply status register status")
    scene.passes("ready")
    assert scene.labels[READY] == "true"


def test_a_rollback_while_another_release_is_installed_is_no_release_by_hand(ready: Scene) -> None:
    _replaced_while_it_installs(ready, "2")
    ready.make_image("1")  # kubectl rollout undo
    ready.passes("ready", ANEW)


@pytest.mark.parametrize("is_remembered", [False, True])
def test_an_installation_that_failed_does_not_make_the_release_before_the_images(
    scene: Scene, *, is_remembered: bool
) -> None:
    """As with a release that somebody installed by hand."""
    if is_remembered:
        scene.become_ready()
        scene.make_image("2")
    scene.host.install()
    scene.host.fails["install"] = "no space left on device"
    assert scene.passes("failed").why == "no space left on device"
    assert "apply" not in scene.host.done[-2:]
    del scene.host.fails["install"]
    scene.become_ready()
    assert scene.host.done.count("install") == 2 + is_remembered
    assert scene.state.startswith("ready ")
