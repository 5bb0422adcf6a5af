"""A containerd that is laid out as that of a distribution: registered, confining, captured.

It is Debian's containerd, not theirs; what they generate is written by distribution_layouts.py.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.engines.containerd import CRI_NAMESPACE, SMALL, Containerd
from harness.engines.cri import Ask, client
from harness.host.namespaces import private_mounts
from harness.host.processes import Daemon, attempt, short_directory
from harness.kernel import process_status
from harness.kernel.process_status import DISABLED, FILTER
from harness.node.install import Installed, copy_of
from harness.node.requirements import requires
from tests.engine import distribution_layouts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.host.processes import Run
    from tests.engine.distribution_layouts import Layout

NAMES = ("k3s", "rke2", "k0s", "microk8s")


@dataclass(frozen=True)
class Brought(Containerd):
    """A distribution's containerd; `ours`: an installation that is registered with it."""

    layout: Layout
    ours: Installed

    @property
    def socket(self) -> Path:
        return self.layout.socket

    def control(self, *words: str | Path) -> Run:
        """Run runc-wrapctl for its configuration."""
        config = ("--config", self.layout.config)
        return attempt([*self.space.prefix, self.ours.ctl, *words, *config], seconds=300)

    def restart(self) -> Brought:
        """Return it after a restart: what it generates is generated again."""
        self.daemon.stop()
        return _started(self.layout, self.ours)

    def answers(self) -> bool:
        there = self.space.inside(self.socket).exists()
        return there and self.try_ctr("version").returncode == 0


def _started(layout: Layout, ours: Installed) -> Brought:
    layout.generate()
    daemon = Daemon(layout.argv(), layout.place / "containerd.log")
    made = Brought(layout.place, daemon, layout.space, layout, ours)
    try:
        made.daemon.wait_ready(made.answers, "containerd")
    except BaseException:
        daemon.stop()
        raise
    return made


@contextlib.contextmanager
def _mount_point(path: Path) -> Iterator[None]:
    """Have a directory of the machine for the time of a test, to mount on it."""
    is_new = not path.exists()
    path.mkdir(exist_ok=True)
    try:
        yield
    finally:
        if is_new:
            path.rmdir()


@pytest.fixture(params=NAMES)
def layout(request: pytest.FixtureRequest) -> Iterator[Layout]:
    """The layout on a node that does not know us."""
    requires("containerd", "ctr", "containerd-shim-runc-v2", "runc", "unshare", root=True)
    if request.param == "k0s" and not distribution_layouts.HAS_CONTAINERD_1:
        pytest.skip("with containerd 2 k0s' main file is of version 3, as the drop-ins then are")
    with contextlib.ExitStack() as stack:
        if request.param == "microk8s":
            stack.enter_context(_mount_point(Path("/snap")))
        place = stack.enter_context(short_directory("dist"))
        small = {place / "state": SMALL, place / "over": SMALL}
        space = stack.enter_context(private_mounts(place, small))
        made = distribution_layouts.of(request.param, place, space)
        made.write()
        yield made


@pytest.fixture
def node(layout: Layout, installed: Installed, image: Path, tmp_path: Path) -> Iterator[Brought]:
    """A node whose engine was registered and then started."""
    ours = copy_of(installed, tmp_path / "own")
    before = layout.files()
    engine = _started(layout, ours)
    try:
        done = engine.control("engine", "add", "containerd")
        assert done.returncode == 0, done.stderr
        assert layout.files() != before
        engine = engine.restart()
        engine.load(image, CRI_NAMESPACE)
        yield engine
        done = engine.control("engine", "remove", "containerd")
        assert done.returncode == 0, done.stderr
        layout.generate()
        assert layout.files() == before
    finally:
        engine.daemon.stop()


def test_a_pod_is_confined_and_the_default_captured_by_the_handler_that_was_added(
    node: Brought, tmp_path: Path
) -> None:
    with client(node.space.inside(node.socket), node.space.cgroup) as cri:
        cri.wait_image()
        found = [
            process_status.seccomp(cri.pid(cri.run(cri.run_pod(handler, tmp_path), Ask())))
            for handler in ("runc", "runc-wrap")
        ]
        refused = node.control("engine", "remove", "containerd", "--dry-run")
        cri.remove_pods()
    assert found == [DISABLED, FILTER]
    assert refused.returncode == 2
    assert "container that needs it; try: stop and remove them first" in refused.stderr
    done = node.control("profile", "capture", "containerd", "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    document = json.loads(done.stdout)
    assert document["differences"] == []
    assert document["answers"] >= 19
    listed = node.ctr("containers", "list", "--quiet", namespace=CRI_NAMESPACE)
    assert listed.stdout == ""
