"""The node that the installer's tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runc_wrap.apply import apply_policy
from runc_wrap.cluster.host_commands import transient_unit
from runc_wrap.node.paths import Places
from tests.unit.cluster import api_stand_in
from tests.unit.cluster.host_stand_in import Host
from tests.unit.cluster.installer_scene import Scene, node_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    for name in ("config", "own", "prefix/etc"):
        (tmp_path / name).mkdir(parents=True)
    # compiling needs a runtime and root; what is checked here is who calls it, and when
    monkeypatch.setattr(apply_policy, "check", lambda _: (None, []))
    monkeypatch.setattr(apply_policy, "put_in_force", lambda _: (None, []))
    monkeypatch.setattr(apply_policy, "notes", lambda *_: [])
    monkeypatch.setattr(transient_unit, "_PAUSE", 0.0)
    with api_stand_in.running(node_document()) as api:
        found = Scene(tmp_path, api, Host(Places(tmp_path / "prefix")), monkeypatch)
        found.host.on_register = found.kubelet_lists_it
        found.make_image()
        found.write_policy('[default]\nmode = "audit"\n')
        yield found


@pytest.fixture
def ready(scene: Scene) -> Scene:
    """The same, after the node became ready."""
    scene.become_ready()
    return scene
