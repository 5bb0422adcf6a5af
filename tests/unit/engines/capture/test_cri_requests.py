"""CRI-O is asked by CRI: a stand-in for it hands each container to a stand-in for the launcher."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.doctor.policy_checks import captured_defaults
from runc_wrap.engines.capture import capture_run, capture_store
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.cri import grpc_call
from runc_wrap.engines.cri.protobuf_wire import fields, inner, message, text, texts
from runc_wrap.engines.crio import crio_engine
from runc_wrap.engines.handler import CallFailed, EngineError
from runc_wrap.engines.probe_container import OWNER
from runc_wrap.hotpath.main import own_capabilities
from tests.unit.cli import ctl
from tests.unit.node import machine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.ctl import Node

BLOCK: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}],
}
IMAGE = "registry.example/pause:1"
# Pods are lost then, and so many: as by a kubelet, which ends pods that it does not know.
_BEFORE_LOSSES, _LOSSES = 3, 4


class Crio:
    """What it was asked, and the pods that it has: {id: [handler, labels]}."""

    def __init__(self, requests: Path, runtimes: dict[str, Any]) -> None:
        self.requests = requests
        self.runtimes = runtimes
        self.version = "1.34.1"
        self.pods: dict[str, tuple[str, dict[str, str]]] = {}
        self.configs: dict[str, bytes] = {}
        self.created: list[dict[str, Any]] = []
        self.lost = 0

    def call(self, _: Path, method: str, request: bytes, __: float) -> bytes:
        """Answer one call as CRI-O does, which calls the runtime in CreateContainer."""
        asked = fields(request)
        name = method.rpartition("/")[2]
        if name == "RunPodSandbox":
            pod = f"pod{len(self.configs)}"
            (config,) = [one for one in asked[1] if isinstance(one, bytes)]
            self.pods[pod] = (text(asked, 2), texts(fields(config), 6))
            self.configs[pod] = config
            return message({1: pod})
        if name == "CreateContainer":
            return self._create(asked)
        if name == "ListPodSandbox":
            (selector,) = inner(asked, 1)
            wanted = texts(selector, 3).items()
            found = [pod for pod, (_, labels) in self.pods.items() if wanted <= labels.items()]
            return b"".join(message({1: message({1: pod})}) for pod in found)
        if name == "RemovePodSandbox":
            del self.pods[text(asked, 1)]
        told = json.dumps({"containerd": {"runtimes": self.runtimes}})
        answers = {
            "Version": message({3: self.version}),
            "ImageStatus": message({1: b""}),
            "Status": message({2: message({1: "config", 2: told})}),
        }
        return answers.get(name, b"")

    def _create(self, asked: dict[int, list[int | bytes]]) -> bytes:
        pod, (config,) = text(asked, 1), inner(asked, 2)
        if len(self.created) == _BEFORE_LOSSES and self.lost < _LOSSES:
            self.lost += 1
            raise CallFailed("the sandbox is gone", 5)
        assert asked[3] == [self.configs[pod]]
        (linux,) = inner(config, 15)
        (security,) = inner(linux, 2)
        (caps,) = inner(security, 1)
        assert [fields(each) for each in security[15] if isinstance(each, bytes)] == [{}]  # default
        variables = {text(one, 1): text(one, 2) for one in inner(config, 6)}
        (image,) = inner(config, 2)
        # CRI-O: "user specified image not specified, cannot verify image signature", if it has a
        # signature_policy, as in its own packages (server/container_create.go).
        assert text(image, 18) == text(image, 1)
        added = [each.decode() for each in caps.get(1, []) if isinstance(each, bytes)]
        handler = self.pods[pod][0]
        self.created.append({"handler": handler, "image": text(image, 1), "add": added})
        assert caps[2] == [b"ALL"]
        record = {"bounding": [f"CAP_{each}" for each in added], "seccomp": BLOCK}
        (self.requests / variables["RUNC_WRAP_CAPTURE"]).write_text(json.dumps(record))
        raise CallFailed("container create failed: the profile was captured", 2)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = ctl.node(tmp_path, monkeypatch)
    made.places.var.mkdir(parents=True)
    machine.fake(made.programs, "crio", "echo crio version 1.34.1")
    return made


@pytest.fixture
def crio(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crio:
    """A CRI-O at its usual socket, with a handler `ours` that leads to our launcher."""
    ours = {"options": {"BinaryName": str(node.places.wrapper.with_name("ours"))}}
    found = Crio(node.places.capture, {"runc": {"options": {}}, "ours": ours})
    monkeypatch.setattr(grpc_call, "call", found.call)
    for kind in (crio_engine.Crio, Containerd):
        monkeypatch.setattr(kind, "sandbox_image", lambda _: IMAGE)
    monkeypatch.setattr(crio_engine.Crio, "usual", tmp_path / "crio.conf")
    return found


def test_crios_default_is_what_it_hands_to_our_handler(node: Node, crio: Crio) -> None:
    captured, blocks = capture_run.capture(node.places, "crio")
    assert (captured.engine, captured.version) == ("crio", "1.34.1")
    assert json.loads(captured.profile) == BLOCK
    assert {(one["handler"], one["image"]) for one in crio.created} == {("ours", IMAGE)}
    asked = {frozenset(f"CAP_{name}" for name in one["add"]) for one in crio.created}
    assert asked == {*blocks}
    assert frozenset(own_capabilities()) in asked
    assert crio.lost == _LOSSES  # and asked again
    assert crio.pods == {}
    assert not node.places.capture.exists()


def test_only_the_captures_own_pods_are_removed(node: Node, crio: Crio) -> None:
    """A canary's, which another command may run just now, is none of them."""
    labels = {"runc-wrap/canary": OWNER, "io.kubernetes.pod.namespace": "runc-wrap"}
    left = {**labels, "runc-wrap/capture": OWNER}
    del left["runc-wrap/canary"]
    crio.pods |= {"canary": ("ours", labels), "of a killed capture": ("ours", left)}
    capture_run.capture(node.places, "crio")
    assert {*crio.pods} == {"canary"}


def test_without_a_handler_of_ours_it_is_refused_with_the_command(node: Node, crio: Crio) -> None:
    del crio.runtimes["ours"]
    with pytest.raises(EngineError, match=r"no handler that leads to .*engine add crio --restart"):
        capture_run.capture(node.places, "crio")
    assert crio.created == []


@pytest.mark.parametrize("config", [None, "other.conf"])
@pytest.mark.parametrize("table", ["crio.runtime", "crio.runtime.runtimes.ours"])
def test_a_capture_is_stale_when_the_file_changes_that_is_crios_default(
    node: Node, crio: Crio, tmp_path: Path, table: str, config: str | None
) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text("{}")
    printed = tmp_path / "printed"
    printed.write_text(f"[{table}]\nseccomp_profile = '{profile}'\n")
    shows = f"*{config or ''}*) cat {printed}"
    script = f"case $* in *--version) echo crio version 1.34.1 ;; {shows} ;; esac"
    machine.fake(node.programs, "crio", script)
    chosen = tmp_path / config if config else None
    captured, _ = capture_run.capture(node.places, "crio", config=chosen)
    capture_store.write(node.places, captured)
    assert capture_store.read(node.places)["crio"].stale == ""
    profile.write_text("{ }")
    assert "is a different file now" in capture_store.read(node.places)["crio"].stale
    assert crio.pods == {}


def _k3s(tmp_path: Path, printed: str) -> Path:
    """Install k3s, whose data is elsewhere, with a handler of ours; return its configuration."""
    data = tmp_path / "srv" / "k3s"
    machine.fake(data / "data" / "current" / "bin", "containerd", printed)
    return data / "agent" / "etc" / "containerd" / "config.toml"


@pytest.mark.parametrize("own", ["v2.1.0", "v1.7.24"])
def test_a_distributions_containerd_beside_another_is_what_is_captured(
    node: Node, crio: Crio, tmp_path: Path, own: str
) -> None:
    """The version, the program and the comparison are its own, not those of the one on the path."""
    crio.version = "v2.1.0-k3s1"
    printed = "case $* in *--version) echo containerd x/v2 v2.1.0-k3s1 a ;; esac"
    config = _k3s(tmp_path, printed)
    machine.fake(node.programs, "containerd", f"echo containerd x/v2 {own} a")
    result = node.ctl("profile", "capture", "containerd", "--config", str(config))
    assert result.stdout.startswith("containerd 2.1.0-k3s1: "), result.stderr
    assert "its default differs from containerd@2.1.0:" in result.stdout
    captured = capture_store.read(node.places)["containerd"]
    assert (captured.version, captured.config, captured.stale) == (
        "2.1.0-k3s1", str(config), "",
    )  # fmt: skip
    machine.fake(node.programs, "containerd", "echo containerd x/v2 v2.2.0 a")
    assert capture_store.read(node.places)["containerd"].stale == ""
    _k3s(tmp_path, f"{printed} # rebuilt")
    assert "different file now" in capture_store.read(node.places)["containerd"].stale
    config.parents[3].joinpath("data/current/bin/containerd").unlink()
    told = capture_store.read(node.places)["containerd"].stale
    assert told == f"the containerd of {config} is not installed any more"
    node.configure("")
    assert node.ctl("apply").exit_code == 0
    (found,) = captured_defaults.find(node.places)
    assert found.command.endswith(f" profile capture containerd --config {config}")
    node.configure('[runtime_default]\nsource = "captured"\n')
    assert f"profile capture containerd --config {config}` and" in node.failure("apply")


def test_another_crio_than_the_installed_one_is_refused(node: Node, crio: Crio) -> None:
    crio.version = "1.33.0"
    with pytest.raises(EngineError, match=r"crio 1\.33\.0 runs, and 1\.34\.1 is installed"):
        capture_run.capture(node.places, "crio")
    assert crio.created == []
