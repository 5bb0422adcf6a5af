"""The installer and another release: proved by a canary, or refused beside the one in force."""

from __future__ import annotations

import contextlib
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.cluster import archive_copy, node_record
from runc_wrap.cluster.host_commands import transient_unit
from tests.unit.cluster.host_stand_in import OURS, Killed
from tests.unit.cluster.installer_scene import INSTALLED, READY

if TYPE_CHECKING:
    from tests.unit.cluster.installer_scene import Scene


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transient_unit, "_PAUSE", 0.0)


def test_another_release_is_proved_by_a_canary_before_the_node_is_ready_with_it(
    scene: Scene,
) -> None:
    scene.become_ready()
    scene.make_image("2")
    before = len(scene.host.done)
    assert scene.installer().run().word == "ready"
    assert scene.host.done[before:] == ["preflight", "install", "status", "prove", "status"]
    scene.host.done.clear()
    assert scene.installer().run().word == "ready"
    assert scene.host.done == ["status"]


def test_a_rollback_from_a_release_that_is_not_proved_is_proved_itself(scene: Scene) -> None:
    """What broke its canary may be the node, and not the release."""
    scene.become_ready()
    scene.make_image("2")
    scene.host.fails["prove"] = "nothing starts through the handler"
    assert scene.installer().run().word == "unproved"
    scene.make_image("1")  # kubectl rollout undo
    scene.host.done.clear()
    decision = scene.installer().run()
    assert (decision.word, decision.why) == ("unproved", scene.host.fails["prove"])
    assert scene.host.done == ["preflight", "install", "status", "prove", "status"]
    assert READY not in scene.labels
    del scene.host.fails["prove"]
    scene.make_image("2")
    assert scene.installer().run().word == "ready"
    assert scene.labels[READY] == "true"


def test_another_release_changes_nothing_of_what_is_known_of_the_handler(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A boot while its canary is not run yet: the handler is registered again as without it."""
    scene.become_ready()
    scene.make_image("2")
    scene.host.fails["prove"] = "nothing starts through the handler"
    assert scene.installer().run().word == "unproved"
    monkeypatch.setattr("runc_wrap.host.procfs.boot_id", lambda: "second")
    scene.host.handlers = [OURS | {"configured": False, "in_force": False, "gone": True}]
    assert scene.installer().run().word == "ready"
    assert scene.host.done[-2:] == ["register", "status"]


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("step", ["prove", "register"])
def test_what_began_with_the_release_before_proves_nothing(scene: Scene, step: str) -> None:
    """A pod was killed, and left its unit, which still runs when one of another image looks."""
    scene.become_ready()
    scene.make_image("2")
    scene.host.leave(f"runc-wrap-cluster-{step}-aaaaaaaa.service", *[lambda: None] * 3)
    scene.host.done.clear()
    assert scene.installer().run().word == "ready"
    assert not any(scene.host.left.values())
    assert scene.host.done == ["preflight", "install", "status", "prove", "status"]


def _refused_with_an_earlier_release(scene: Scene) -> None:
    scene.become_ready()
    releases = scene.place / "image" / "lib"
    (releases / "releases" / "0.3.0").mkdir()
    (releases / "current").unlink()
    (releases / "current").symlink_to("releases/0.3.0")
    scene.make_image("2")
    scene.host.fails["preflight"] = "containerd refuses its configuration"
    assert scene.installer().run().word == "refused"
    scene.host.done.clear()


def test_an_earlier_release_is_registered_again_after_a_boot_though_another_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refused_with_an_earlier_release(scene)
    monkeypatch.setattr("runc_wrap.host.procfs.boot_id", lambda: "second")
    scene.host.handlers = [OURS | {"configured": False, "in_force": False, "gone": True}]
    labels: list[bool] = []
    scene.host.on_register = lambda: labels.append(READY in scene.labels)
    assert scene.installer().run().word == "refused"
    assert scene.host.done == ["preflight", "status", "register", "status"]
    assert labels == [False]  # no pod came meanwhile
    assert scene.labels == {INSTALLED: "true", READY: "true", "runc-wrap.dev/version": "0.2.0"}
    record = node_record.read(scene.host.places)
    assert record.proved == record.archive


def test_half_an_archive_that_a_killed_pod_laid_down_is_replaced(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", partial(real, copy_function=dies))
        with pytest.raises(Killed):
            archive_copy.lay(image, scene.host.places)
    laid = archive_copy.lay(image, scene.host.places)
    assert {path.name for path in laid.iterdir()} == {path.name for path in image.iterdir()}


@pytest.mark.usefixtures("_quick")
def test_what_a_killed_pod_of_another_image_began_is_waited_for(scene: Scene) -> None:
    """Its install.sh runs from the archive that it laid down, and holds the installation's lock."""
    scene.become_ready()
    scene.make_image("2")
    laid = archive_copy.lay(scene.place / "image", scene.host.places)
    seen: list[bool] = []
    unit = "runc-wrap-cluster-install-aaaaaaaa.service"
    scene.host.leave(unit, *[lambda: seen.append(laid.is_dir())] * 3)
    scene.make_image("3")
    scene.host.done.clear()
    assert scene.installer().run().word == "ready"
    assert seen == [True] * 3
    assert scene.host.done == ["preflight", "install", "status", "prove", "status"]
    assert not [*scene.host.places.cluster.glob("archive-*")]


@pytest.mark.usefixtures("_quick")
def test_a_removal_that_runs_is_waited_for_and_its_end_is_where_the_installation_begins(
    scene: Scene,
) -> None:
    """As when somebody applies `uninstall`, and their own overlay again before it is over."""
    scene.become_ready()
    current = scene.host.places.prefix / "lib" / "current"
    scene.host.handlers = []
    before = len(scene.host.done)
    scene.host.leave("runc-wrap-cluster-uninstall-aaaaaaaa.service", lambda: None, current.unlink)
    assert scene.installer().run().word == "ready"
    assert scene.host.done[before : before + 2] == ["preflight", "install"]


@pytest.mark.usefixtures("_quick")
def test_what_a_killed_pod_of_the_same_image_began_is_taken_up_and_not_done_twice(
    scene: Scene,
) -> None:
    _replaced_while_it_installs(scene, "1")
    scene.host.done.clear()
    scene.become_ready()
    assert scene.host.done[:2] == ["apply", "status"]
    assert scene.labels[READY] == "true"


def _replaced_while_it_installs(scene: Scene, image: str) -> None:
    """Have a pod of this image end after it began install.sh, which has not put it in force yet."""
    scene.make_image(image)
    install, begins = scene.host.install, [lambda: None, scene.host.install]

    def begin() -> None:
        raise Killed

    scene.host.install = begin  # type: ignore[method-assign]
    with contextlib.suppress(Killed):
        scene.installer().run()
    scene.host.install = install  # type: ignore[method-assign]
    scene.host.leave("runc-wrap-cluster-install-aaaaaaaa.service", *begins)


@pytest.mark.usefixtures("_quick")
def test_a_rollback_while_another_release_is_installed_is_no_release_by_hand(scene: Scene) -> None:
    scene.become_ready()
    _replaced_while_it_installs(scene, "2")
    scene.make_image("1")  # kubectl rollout undo
    scene.host.done.clear()
    assert scene.installer().run().word == "ready"
    assert scene.host.done == ["preflight", "install", "status", "prove", "status"]


@pytest.mark.usefixtures("_quick")
def test_what_somebody_installs_by_hand_later_is_left_alone(scene: Scene) -> None:
    scene.become_ready()
    _replaced_while_it_installs(scene, "2")
    scene.host.left.clear()
    scene.host.units.clear()  # it failed: the release before is in force
    scene.make_image("1")
    assert scene.installer().run().word == "ready"
    scene.host.install()
    assert scene.installer().run().word == "edited"


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
    decision = scene.installer().run()
    assert (decision.word, decision.why) == ("failed", "no space left on device")
    assert "apply" not in scene.host.done[-2:]
    del scene.host.fails["install"]
    scene.become_ready()
    assert scene.host.done.count("install") == 2 + is_remembered
    assert scene.state.startswith("ready ")
