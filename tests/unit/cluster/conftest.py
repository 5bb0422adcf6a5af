"""One node for the installer: a host and an API server that are stand-ins, and the pod's files."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.apply import apply_policy
from runc_wrap.cluster.host_commands import transient_unit
from runc_wrap.cluster.host_commands.step_commands import NodeCommands
from runc_wrap.cluster.installer_loop import InstallerLoop
from runc_wrap.cluster.next_step import NextStep
from runc_wrap.cluster.node_reporter import Pod, Reporter
from runc_wrap.node.paths import Places
from tests.unit.cluster import api_stand_in
from tests.unit.cluster.api_stand_in import StandIn
from tests.unit.cluster.host_stand_in import OURS, Host

LISTED = [{"name": ""}, {"name": "runc"}]
STATE, READY = "runc-wrap.dev/state", "runc-wrap.dev/ready"
INSTALLED = "runc-wrap.dev/installed"
NOT_READY = {"key": "runc-wrap.dev/not-ready", "effect": "PreferNoSchedule"}


def node_document(engine: str = "containerd://1.7.24") -> dict[str, Any]:
    info = {"containerRuntimeVersion": engine, "kernelVersion": "6.1.0-1"}
    metadata = {"name": "n1", "uid": "u", "resourceVersion": "7"}
    status = {"nodeInfo": info, "runtimeHandlers": LISTED}
    return {"metadata": metadata, "spec": {}, "status": status}


@dataclass
class Scene:
    """One node, with all that a pod on it reaches."""

    place: Path
    api: StandIn
    host: Host
    patch: pytest.MonkeyPatch
    told: list[str] = field(default_factory=list)

    @property
    def pod(self) -> Pod:
        place = self.place
        return Pod("n1", "pod-1", place / "image", place / "config", place / "own",
                   state=place / "pod" / "state")  # fmt: skip

    def installer(self, *, removes: bool = False) -> InstallerLoop:
        """A new pod."""
        host: Any = self.host
        commands, api = NodeCommands(self.host.places, host), self.api.api(self.place)
        reporter = Reporter(self.host.places, self.pod, api, self.told.append)
        return InstallerLoop(self.host.places, commands, reporter, removes=removes)

    def become_ready(self) -> None:
        """Run until the handler is registered, and again: the kubelet lists it by then."""
        self.installer().run()
        self.installer().run()

    def remover(self) -> InstallerLoop:
        return self.installer(removes=True)

    def passes(
        self, word: str, steps: str | None = None, by: InstallerLoop | None = None, times: int = 1
    ) -> NextStep:
        """Have new pods look at the node, or `by`: the state of each, and the steps of all."""
        before = len(self.host.done)
        for _ in range(times):
            decision = (by or self.installer()).run()
            assert decision.word == word, decision
        assert steps is None or self.host.done[before:] == steps.split()
        return decision

    def take_out(self) -> None:
        """Somebody takes our lines out of the engine's configuration, and starts it anew."""
        self.host.handlers = [OURS | {"configured": False, "in_force": False, "gone": True}]

    def boot(self, boot: str) -> None:
        self.patch.setattr("runc_wrap.host.procfs.boot_id", lambda: boot)

    def clock(self, now: float) -> None:
        self.patch.setattr("runc_wrap.cluster.installer_loop.time.time", lambda: now)

    def kubelet_lists_it(self) -> None:
        self.api.node["status"]["runtimeHandlers"] = [*LISTED, {"name": "runc-wrap"}]

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.api.node["metadata"].get("labels", {})
        return found

    @property
    def taints(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.api.node["spec"].get("taints", [])
        return found

    @property
    def state(self) -> str:
        found: str = self.api.node["metadata"]["annotations"][STATE]
        return found

    @property
    def reasons(self) -> list[str]:
        return [event["reason"] for event in self.api.events]

    def make_image(self, text: str = "1") -> None:
        releases = self.place / "image" / "lib" / "releases" / "0.2.0"
        if not releases.is_dir():
            releases.mkdir(parents=True)
            (self.place / "image" / "lib" / "current").symlink_to("releases/0.2.0")
        (self.place / "image" / "SHA256SUMS").write_text(text)

    def write_policy(self, text: str) -> None:
        (self.place / "config" / "config.toml").write_text(text)


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
