"""A containerd that is laid out as k3s' and RKE2's with --data-dir: registered and captured.

It is Debian's containerd, not theirs; what they generate at their start is written by the test: by
the template for containerd 1, with an import of drop-ins for containerd 2.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from harness.engines.containerd import (
    CRI_NAMESPACE,
    SMALL,
    Containerd,
    Handler,
    configuration,
)
from harness.host.namespaces import private_mounts
from harness.host.processes import Daemon, attempt, short_directory
from harness.node.install import Installed, copy_of
from harness.node.requirements import program, requires
from runc_wrap.node import installed_programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.host.processes import Run

PROGRAMS = {"k3s": "data/current/bin/containerd", "rke2": "bin/containerd"}
BASE = '{{ template "base" . }}\n'


class Node:
    """Where the distribution `name` has its files, and an installation of ours."""

    def __init__(self, place: Path, name: str, ours: Installed) -> None:
        self.place, self.ours = place, ours
        self.config = place / name / "agent/etc/containerd/config.toml"
        self.binary = place / name / PROGRAMS[name]
        for directory in (self.config.parent, self.binary.parent):
            directory.mkdir(parents=True)
        self.binary.symlink_to(program("containerd"))
        base = configuration(place, {"runc": Handler(program("runc"))})
        imports = f'imports = ["{self.config.parent}/config.toml.d/*.toml"]\n'
        has_drop_ins = installed_programs.version("containerd")[:2] == "2."  # type: ignore[index]
        self.base = base.replace("version = 2\n", f"version = 2\n{imports if has_drop_ins else ''}")
        self.config.write_text(self.base)

    def generate(self) -> None:
        """Write the configuration as the distribution does when it starts, by its template."""
        template = self.config.with_name("config.toml.tmpl")
        if template.exists():
            self.config.write_text(template.read_text().replace(BASE, self.base))

    def files(self) -> dict[str, bytes]:
        """Return the files of the configuration."""
        found = [one for one in self.config.parent.rglob("*") if one.is_file()]
        return {one.name: one.read_bytes() for one in found}


@pytest.fixture(params=PROGRAMS)
def node(
    request: pytest.FixtureRequest, installed: Installed, tmp_path: Path
) -> Iterator[tuple[Node, Containerd]]:
    """A node whose engine is registered, generated and started."""
    requires("containerd", "ctr", "containerd-shim-runc-v2", "runc", "unshare", root=True)
    with (
        short_directory("dist") as place,
        private_mounts(place, {place / "state": SMALL}) as space,
    ):
        one = Node(place, request.param, copy_of(installed, tmp_path / "own"))
        before = one.files()
        words = ("engine", "add", "containerd", "--config", one.config)
        done = attempt([*space.prefix, one.ours.ctl, *words], seconds=100)
        assert done.returncode == 0, done.stderr
        assert one.files() != before
        one.generate()
        argv: list[str | Path] = [*space.prefix, one.binary, "-c", one.config]
        engine = Containerd(place, Daemon(argv, place / "containerd.log"), space)
        try:
            engine.daemon.wait_ready(
                lambda: engine.socket.exists() and engine.try_ctr("version").returncode == 0,
                "containerd",
            )
            yield one, engine
        finally:
            engine.daemon.stop()


def _capture(one: Node, engine: Containerd) -> Run:
    words = ("profile", "capture", "containerd", "--config", one.config, "--json")
    return attempt([*engine.space.prefix, one.ours.ctl, *words], seconds=300)


def test_its_default_is_captured_by_cri_through_the_handler_that_was_added(
    node: tuple[Node, Containerd], image: Path
) -> None:
    one, engine = node
    engine.load(image, CRI_NAMESPACE)
    begun = time.monotonic()
    done = _capture(one, engine)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    document = json.loads(done.stdout)
    assert document["differences"] == []
    assert document["answers"] >= 19
    print(f"captured in {time.monotonic() - begun:.1f} s")  # noqa: T201 - with pytest -s
    listed = engine.ctr("containers", "list", "--quiet", namespace=CRI_NAMESPACE)
    assert listed.stdout == ""
    one.config.write_text(one.base)
    words = ("engine", "remove", "containerd", "--config", one.config)
    removed = attempt([*engine.space.prefix, one.ours.ctl, *words], seconds=100)
    assert removed.returncode == 0, removed.stderr
    assert one.files() == {"config.toml": one.base.encode()}
    again = _capture(one, engine)
    assert again.returncode == 2
    assert "has no handler that leads to" in again.stderr
