"""What is asked and taken from engines' answers, and what is refused; real engines: tests/engine.

CRI-O is asked by CRI: a stand-in for it hands each container to a stand-in for the launcher.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.doctor import policy_checks
from runc_wrap.engines.capture import capture_run, capture_store
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.cri import grpc_call
from runc_wrap.engines.cri.protobuf_wire import fields, inner, message, text, texts
from runc_wrap.engines.crio import crio_engine
from runc_wrap.engines.handler import CallFailed, EngineError
from runc_wrap.engines.probe_container import OWNER
from runc_wrap.engines.transaction import transaction_record
from runc_wrap.host import locks
from runc_wrap.hotpath.main import own_capabilities
from runc_wrap.profiles import builtin
from tests.unit.cli import ctl
from tests.unit.cli.ctl import Node
from tests.unit.node import machine

BPF = {"names": ["bpf"], "action": "SCMP_ACT_ALLOW"}
READ = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
BLOCK: dict[str, Any] = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [READ]}
# Answers as the launcher does, to each request; ANSWER writes to the request's file.
PODMAN = """
case $1 in --version) echo podman version 5.4.2; exit ;; ps) exit ;; esac
caps= token=$RUNC_WRAP_CAPTURE
for word; do
    case $word in
        *$token*) echo 'the token is in a command line, which every user can read' >&2; exit 1 ;;
        --cap-add=*) caps="$caps,\\"${word#*=}\\"" ;;
    esac
done
echo asked >>CALLS
caps="[${caps#,}]"
ANSWER
echo 'Error: refused as always' >&2
exit 126
"""
ANSWER = """printf '{"bounding":%s,"seccomp":%s}' "$caps" 'BLOCK' >REQUESTS/$token"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    ctl.prove_once(monkeypatch)
    made = ctl.node(tmp_path, monkeypatch)
    made.places.var.mkdir(parents=True)
    return made


@pytest.fixture
def podman(node: Node) -> Callable[..., Path]:
    """Return a function that installs a Podman with this answer."""

    def install(answer: str = ANSWER, block: Any = BLOCK) -> Path:
        calls = node.programs / "calls"
        script = PODMAN.replace("ANSWER", answer).replace("BLOCK", json.dumps(block))
        script = script.replace("REQUESTS", str(node.places.capture)).replace("CALLS", str(calls))
        machine.fake(node.programs, "podman", script)
        return calls

    return install


@pytest.mark.parametrize("brings", [True, False])
def test_a_capability_that_no_default_was_known_to_depend_on_is_found(
    node: Node, podman: Callable[..., Path], brings: bool
) -> None:
    more = {**BLOCK, "syscalls": [*BLOCK["syscalls"], BPF]}
    with_it, without = (more, BLOCK) if brings else (BLOCK, more)
    answers = [ANSWER.replace("BLOCK", json.dumps(each)) for each in (with_it, without)]
    podman("case $caps in *KILL*) {} ;; *) {} ;; esac".format(*answers))
    captured, blocks = capture_run.capture(node.places, "podman")
    assert len(blocks) == len(own_capabilities()) + 4
    key = "includes" if brings else "excludes"
    assert {**BPF, key: {"caps": ["CAP_KILL"]}} in captured.profile["syscalls"]


def _instead(block: str) -> str:
    return ANSWER.replace("BLOCK", block)


HUGE = "/bin/dd if=/dev/zero of=REQUESTS/$token bs=1M count=2 2>/dev/null"
DEEP = "printf '%0200000d' 0 | /usr/bin/tr 0 '[' >REQUESTS/$token"
OTHERS = ANSWER.replace('"$caps"', """'["CAP_KILL"]'""")
BAD: dict[str, tuple[str, str]] = {
    "no call": (":", "podman did not hand a container with no capability to runc-wrap: Error: "),
    "too much": (HUGE, "is larger than 1048576 bytes"),
    "no JSON": ("echo x >REQUESTS/$token", "no record of a seccomp profile: it is not JSON"),
    "deep": (DEEP, "no record of a seccomp profile: it is not JSON"),
    "a list": ("echo '[]' >REQUESTS/$token", "found a list of 0, wanted an object"),
    "no block": (_instead("{}"), "with no capability no seccomp profile"),
    "an unknown action": (_instead('{"defaultAction":"SCMP_ACT_SING"}'), "podman: defaultAction: "),
    "an unknown field": (_instead('{"defaultAction":"SCMP_ACT_LOG","more":1}'), "podman: more: "),
    "others": (OTHERS, "was asked for a container with no capability and gave it CAP_KILL"),
}


@pytest.mark.parametrize("answer", BAD)
def test_an_answer_that_is_not_a_profile_is_refused_and_nothing_is_stored(
    node: Node, podman: Callable[..., Path], answer: str
) -> None:
    text, said = BAD[answer]
    podman(text)
    failure = node.failure("profile", "capture", "podman")
    assert said in failure
    assert not node.places.captured.exists()
    assert not node.places.capture.exists()


def test_what_a_killed_capture_left_is_nobodys_request_any_more(
    node: Node, podman: Callable[..., Path]
) -> None:
    node.places.capture.mkdir()
    (node.places.capture / ("a" * 32)).touch()
    podman()
    capture_run.capture(node.places, "podman")
    assert not node.places.capture.exists()


def test_no_engine_is_asked_while_it_is_changed_or_proved(
    node: Node, podman: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Docker's canary and its requests have the same image, which each removes at its end."""
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    calls = podman()
    with transaction_record.exclusive(node.places):
        assert "has held this lock" in node.failure("profile", "capture", "podman")
    assert not calls.exists()


NEWER = {"dockerd": "echo Docker version 26.1.5, build x", "docker": "echo 25.0.3"}
SILENT = {"containerd": "echo containerd github.com/containerd/containerd 1.7.24 x"}
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "podman": ({}, "no podman answers to --version"),
    "docker": (NEWER, "docker 25.0.3 runs, and 26.1.5 is installed"),
    "containerd": (SILENT, "does not answer: "),
}


@pytest.mark.parametrize("engine", REFUSED)
def test_an_engine_that_is_not_the_installed_one_is_not_asked(node: Node, engine: str) -> None:
    programs, said = REFUSED[engine]
    for name, script in programs.items():
        machine.fake(node.programs, name, script)
    assert said in node.failure("profile", "capture", engine)


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
        status = message({2: message({1: "config", 2: told})})
        answers = {"Version": message({3: self.version}), "ImageStatus": message({1: b""})}
        answers["Status"] = status
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
def crio(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crio:
    """A CRI-O at its usual socket, with a handler `ours` that leads to our launcher."""
    machine.fake(node.programs, "crio", "echo crio version 1.34.1")
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
    assert captured.profile == BLOCK
    assert {(one["handler"], one["image"]) for one in crio.created} == {("ours", IMAGE)}
    asked = {frozenset(f"CAP_{name}" for name in one["add"]) for one in crio.created}
    assert asked == {*blocks}
    assert len(blocks) == len(builtin.deciding_capabilities() & own_capabilities()) + 4
    assert frozenset(own_capabilities()) in asked
    assert crio.lost == _LOSSES  # and asked again
    assert crio.pods == {}
    assert not node.places.capture.exists()


def test_only_the_captures_own_pods_are_removed(node: Node, crio: Crio) -> None:
    """A canary's, which another command may run just now, is none of them."""
    ours, space = {"runc-wrap/capture": OWNER}, "io.kubernetes.pod.namespace"
    others = {
        "canary": {"runc-wrap/canary": OWNER, space: "runc-wrap"},
        "pretending": {**ours, space: "team"},
        "another installation's": {"runc-wrap/capture": "0a", space: "runc-wrap"},
        "without a label": {space: "runc-wrap"},
    }
    crio.pods |= {name: ("ours", labels) for name, labels in others.items()}
    crio.pods["of a killed capture"] = ("ours", {**ours, space: "runc-wrap"})
    capture_run.capture(node.places, "crio")
    assert crio.pods.keys() == others.keys()


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
    held = (captured.version, captured.config, captured.stale)
    assert held == ("2.1.0-k3s1", str(config), "")
    machine.fake(node.programs, "containerd", "echo containerd x/v2 v2.2.0 a")
    assert capture_store.read(node.places)["containerd"].stale == ""
    _k3s(tmp_path, f"{printed} # rebuilt")
    assert "different file now" in capture_store.read(node.places)["containerd"].stale
    config.parents[3].joinpath("data/current/bin/containerd").unlink()
    told = capture_store.read(node.places)["containerd"].stale
    assert told == f"the containerd of {config} is not installed any more"
    node.configure("")
    assert node.ctl("apply").exit_code == 0
    (found,) = policy_checks.captured(node.places)
    assert found.command.endswith(f" profile capture containerd --config {config}")
    node.configure('[runtime_default]\nsource = "captured"\n')
    assert f"profile capture containerd --config {config}` and" in node.failure("apply")
