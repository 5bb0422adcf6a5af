"""The agent's answers: the same as the cold path's results, and never a change of a config."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.node.agent import request
from runc_wrap.agent.decide import answerer as deciding
from runc_wrap.agent.decide.answerer import LARGEST, Answerer
from runc_wrap.hotpath import argv, main
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.exec_runtime import Launch
from runc_wrap.policy import policy_store
from tests.unit.policy.node import PROFILE, compiled
from tests.unit.profiles.strategies import oci_blocks, texts

Json = dict[str, Any]

POLICIES = {
    "the default": compiled(own_profiles={"a.json": PROFILE}),
    "audit, an overlay and rules": compiled(
        {
            "default.mode": "audit",
            "default.privileged": "confine",
            "overlay.deny": ["io_uring_setup", "clone3"],
            "overlay.deny_sockets": ["vsock"],
            "overlay.existing": True,
            "opt_out.namespaces": ["free"],
            "rule": [
                {"name": "half", "namespace": ["half*"], "percent": 50, "mode": "enforce"},
                {"name": "off", "engine": ["containerd"], "pod": ["off"], "mode": "off"},
            ],
        },
        own_profiles={"a.json": PROFILE},
    ),
}
PLACES = ("b", "io.containerd.runtime.v2.task/k8s.io/c1", "io.containerd.runtime.v2.task/moby/c1")
_CAPABILITIES = ["CAP_SYS_ADMIN", "CAP_KILL", "CAP_SYS_CHROOT", "CAP_BPF", "CAP_SYS_PTRACE"]
CRI = "io.kubernetes.cri."
SANDBOX = "c0"  # beside the container where that is CRI's
_PLACED = {f"{CRI}container-type": "sandbox", f"{CRI}sandbox-id": SANDBOX}
SANDBOXS: Json = {"annotations": {**_PLACED, "runc-wrap/seccomp": "unconfined"}}
ASKED = "unconfined runtime-default localhost/a.json localhost/none nonsense".split()
_names = st.sampled_from([f"{CRI}sandbox-name", f"{CRI}container-name", "other", "\u4e2d"])
_annotations = st.dictionaries(
    _names, st.sampled_from(["off", "x", "", '"}{'])
) | st.fixed_dictionaries(
    {
        "runc-wrap/seccomp": st.sampled_from(ASKED),
        f"{CRI}sandbox-namespace": st.sampled_from(["free", "half1", "half2", "x"]),
        f"{CRI}container-type": st.sampled_from(["container", "sandbox"]),
        f"{CRI}sandbox-id": st.sampled_from([SANDBOX, "none", "../b"]),
    }
)
_linux = st.fixed_dictionaries(
    {},
    optional={
        "maskedPaths": st.just(["/proc/kcore"]),
        "seccomp": st.none() | st.just({}) | oci_blocks() | st.just("wrong"),
        "resources": st.just({"devices": [{"allow": True, "access": "rwm"}]}),
    },
)
_bounding = st.lists(st.sampled_from(_CAPABILITIES), unique=True)
_capabilities = st.fixed_dictionaries({"bounding": _bounding})
_process = st.fixed_dictionaries({"capabilities": _capabilities})
configs = st.fixed_dictionaries(
    {"process": _process, "annotations": _annotations, "linux": _linux},
    optional={"unknown": st.lists(texts | st.integers(-(2**63), 2**64 - 1)), "LINUX": st.just(1)},
)


def words(directory: Path) -> list[str]:
    """Return a create's arguments after the runtime's name."""
    return ["create", "--bundle", str(directory), "--pid-file", str(directory / "pid"), "c1"]


def cold(prefix: Path, kind: str, called: list[str]) -> str:
    """Run the cold path without the exec; return the reason of a refusal, "" for none."""
    said = ["--prefix", str(prefix), "--kind", kind, "--called-as", "/x/runc-wrap"]
    launch = Launch([*said, "--", *called])
    invocation = argv.parse(called, kind)
    assert invocation
    try:
        main.confine_or_pass(launch, invocation)
    except Refusal as refusal:
        return str(refusal)
    return ""


def ledger(prefix: Path) -> list[Json]:
    """Return the ledger's lines without what differs by who decided and when."""
    path = prefix / "var" / "ledger" / "ledger.jsonl"
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        assert 0 <= line.pop("seconds") < 60
        assert line.pop("time") <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return lines


CONTAINER = "k8s.io/c1"
IN_CRI = f"io.containerd.runtime.v2.task/{CONTAINER}"
COLD = [b"runc-wrap/1", b"cold"]
PLAIN: Json = {"process": {}, "linux": {}}


class Node:
    """An installation with an agent that stays warm over all of a test's requests."""

    def __init__(self, prefix: Path) -> None:
        (prefix / "var").mkdir(parents=True)
        self.prefix = prefix
        self.answerer = Answerer(str(prefix))

    def bundle(self, config: Json | bytes, place: str = "b") -> Path:
        directory = self.prefix / "bundles" / place
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        text = config if isinstance(config, bytes) else json.dumps(config, indent=1).encode()
        (directory / "config.json").write_bytes(text)
        if place.endswith(CONTAINER):
            directory.with_name(SANDBOX).mkdir(exist_ok=True)
            (directory.with_name(SANDBOX) / "config.json").write_text(json.dumps(SANDBOXS))
        return directory

    def ask(self, kind: str, called: list[str]) -> list[bytes]:
        packet = request(kind, *called, called_as="/x/runc-wrap")
        return self.answerer.answer(packet, os.getpid(), lambda: True)[0].split(b"\0")[:-1]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path / "prefix")
    policy_store.put_in_force(POLICIES["the default"], made.prefix)
    return made


@pytest.fixture(scope="module", params=POLICIES)
def warm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Node:
    made = Node(tmp_path_factory.mktemp("warm") / "prefix")
    policy_store.put_in_force(POLICIES[request.param], made.prefix)
    return made


def _by_agent(node: Node, directory: Path, kind: str) -> tuple[bytes, bytes | None]:
    """Return the agent's answer, and the config that its launcher would leave."""
    before = (directory / "config.json").read_bytes()
    fields = node.ask(kind, words(directory))
    assert (directory / "config.json").read_bytes() == before
    if fields[1] != b"rename":
        return fields[1], before
    made = Path(os.fsdecode(fields[5]))
    text = made.read_bytes()
    assert made.stat().st_ino == int(fields[7])
    made.unlink()
    return fields[1], text


def _check_same(node: Node, config: Json, kind: str, place: str) -> None:
    """Let both decide for one config: the resulting config and the ledger's line are the same."""
    directory = node.bundle(config, place)
    before = len(ledger(node.prefix))
    answer, by_agent = _by_agent(node, directory, kind)
    refused = cold(node.prefix, kind, words(directory))
    lines = ledger(node.prefix)[before:]
    assert (answer == b"cold") == bool(refused)
    assert (directory / "config.json").read_bytes() == by_agent
    assert [path.name for path in directory.iterdir()] == ["config.json"]
    if refused:
        assert lines == []
        return
    assert [line.pop("via") for line in lines] == ["agent", "cold"]
    assert lines[1].pop("fallback") is False  # no socket lies there
    assert lines[0] == lines[1]


@given(config=configs, kind=st.sampled_from(["runc", "crun"]), place=st.sampled_from(PLACES))
def test_an_agent_decides_as_a_cold_start(warm: Node, config: Json, kind: str, place: str) -> None:
    """One agent for all examples, so that leftovers of one create would affect the next."""
    _check_same(warm, config, kind, place)


def test_the_agent_also_reads_the_sandboxs_original_annotations(node: Node) -> None:
    asked = {**SANDBOXS["annotations"], "io.kubernetes.cri.container-type": "container"}
    late = {**asked, "runc-wrap/seccomp.c1": "unconfined", "runc-wrap/seccomp": "localhost/a.json"}
    for annotations, ignored in ((asked, None), (late, "runc-wrap/seccomp")):
        _check_same(node, {**PLAIN, "annotations": annotations}, "runc", IN_CRI)
        line = ledger(node.prefix)[-1]
        assert (line["action"], line["ignored"]) == ("leave", ignored)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were opened."""
    found: list[str] = []
    whole = os.open

    def noted(path: str, *rest: int) -> int:
        found.append(path)
        return whole(path, *rest)

    monkeypatch.setattr("posix.open", noted)
    return found


@pytest.mark.parametrize("removed", [False, True])
def test_a_new_policy_applies_at_once(node: Node, opened: list[str], removed: bool) -> None:
    """Unchanged files are not read again: a cache could be stale, for a number that is reused."""
    directory = node.bundle(PLAIN)
    for is_read in (True, False):
        opened.clear()
        assert node.ask("runc", words(directory))[1] == b"rename"
        assert any("/var/policy" in path for path in opened) is is_read
    if removed:
        shutil.rmtree(node.prefix / "var" / "policy.2")
    policy_store.put_in_force(compiled({"default.mode": "off"}), node.prefix)
    assert node.ask("runc", words(directory))[1] == b"go"


def test_a_changed_or_deleted_profile_applies_from_the_next_request(node: Node) -> None:
    directory = node.bundle({**PLAIN, "annotations": {"runc-wrap/seccomp": "localhost/a.json"}})
    assert _by_agent(node, directory, "runc")[1]
    profile = next((node.prefix / "var/policy.2/current/profiles").glob("*a.json*enforce.json"))
    found = json.loads(profile.read_text())
    found["block"]["defaultAction"] = "SCMP_ACT_KILL"
    profile.write_text(json.dumps(found))
    assert b"SCMP_ACT_KILL" in (_by_agent(node, directory, "runc")[1] or b"")
    profile.unlink()
    assert node.ask("runc", words(directory)) == COLD


def test_another_release_is_noticed(node: Node) -> None:
    (node.prefix / "lib" / "current").symlink_to("releases/1")
    answerer = Answerer(str(node.prefix))
    assert answerer.is_current()
    (node.prefix / "lib" / "current").unlink()
    (node.prefix / "lib" / "current").symlink_to("releases/2")
    assert not answerer.is_current()


def test_a_caller_that_gave_up_leaves_no_line_and_its_new_file_is_known(node: Node) -> None:
    directory = node.bundle(PLAIN)
    packet = request("runc", *words(directory))
    assert node.answerer.answer(packet, os.getpid(), lambda: True)[1]
    before = ledger(node.prefix)
    late = node.answerer.answer(packet, os.getpid(), lambda: False)
    assert late[0].split(b"\0")[:-1] == COLD
    assert Path(late[1]).is_file()
    assert ledger(node.prefix) == before


ODD: dict[str, Callable[[Path], list[str]]] = {
    "a relative bundle": lambda _: ["create", "--bundle", "b", "c1"],
    "no bundle": lambda _: ["create", "c1"],
    "a relative pid file": lambda at: ["create", "--bundle", str(at), "--pid-file", "pid", "c1"],
    "through /proc": lambda at: ["create", "--bundle", f"/proc/self/root{at}", "c1"],
    "through /dev/fd": lambda _: ["create", "--bundle", "/dev/fd/3", "c1"],
    "a flag that nobody knows": lambda at: ["create", "--new", "--bundle", str(at), "c1"],
    "no create": lambda _: ["state", "create"],
    "a create that runc refuses": lambda at: ["create", "--bundle", str(at)],
    "no words": lambda _: [],
    "another bundle that is not there": lambda at: ["create", "--bundle", f"{at}x", "c1"],
}


def test_odd_requests_take_the_cold_path(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = node.bundle(PLAIN)
    monkeypatch.chdir(directory.parent)
    assert node.ask("runc", words(directory))[1] == b"rename"
    before = ledger(node.prefix)
    for odd, called in ODD.items():
        assert node.ask("runc", called(directory)) == COLD, odd
        assert ledger(node.prefix) == before, odd


def test_a_large_config_is_left_to_the_cold_path_unopened(node: Node, opened: list[str]) -> None:
    for size, is_read in ((LARGEST, True), (LARGEST + 1, False), (15 * LARGEST, False)):
        opened.clear()
        directory = node.bundle(json.dumps(PLAIN).encode().ljust(size))
        before = len(ledger(node.prefix))
        assert (directory / "config.json").stat().st_size == size
        assert node.ask("runc", words(directory))[1] == (b"rename" if is_read else b"cold")
        assert (str(directory / "config.json") in opened) is is_read
        assert len(ledger(node.prefix)) - before == is_read


def test_a_config_behind_a_link_is_renamed_in_its_directory_unless_in_proc(node: Node) -> None:
    directory = node.bundle(PLAIN)
    other = node.prefix / "other.json"
    (directory / "config.json").rename(other)
    (directory / "config.json").symlink_to(other)
    fields = node.ask("runc", words(directory))
    assert fields[2] == os.fsencode(directory / "config.json")
    assert fields[6] == os.fsencode(other)
    assert Path(os.fsdecode(fields[5])).parent == node.prefix
    (directory / "config.json").unlink()
    (directory / "config.json").symlink_to(f"/proc/self/root{other}")
    assert node.ask("runc", words(directory)) == COLD


@pytest.mark.parametrize("token", ["a" * 32, "b" * 32, "../capture/" + "a" * 21, ""])
def test_only_roots_request_to_capture_is_left_to_the_cold_path(node: Node, token: str) -> None:
    (node.prefix / "var/capture").mkdir()
    (node.prefix / "var/capture" / ("a" * 32)).touch()
    (node.prefix / "var/capture" / ("a" * 21)).touch()
    config = {**PLAIN, "process": {"env": [f"RUNC_WRAP_CAPTURE={token}"]}}
    answer = node.ask("runc", words(node.bundle(config)))
    is_one = token == "a" * 32
    assert (answer == COLD) is is_one
    assert len(ledger(node.prefix)) == (not is_one)


def test_capabilities_are_those_of_the_caller(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {str(os.getpid()): frozenset({"CAP_SYS_ADMIN"})}
    monkeypatch.setattr(main, "capabilities_of", held.__getitem__)
    mounts = [{"type": "sysfs", "options": ["rw"]}]
    bounding = {"capabilities": {"bounding": ["CAP_SYS_ADMIN"]}}
    directory = node.bundle({"linux": {}, "mounts": mounts, "process": bounding})
    assert node.ask("runc", words(directory))[1] == b"go"  # it is privileged


@pytest.mark.skipif(os.geteuid() != 0, reason="the agent is root's")
def test_the_default_root_depends_on_the_launchers_environment() -> None:
    rows = [("crun", "/own", "/own/crun"), ("crun", "", "/run/crun"), ("runc", "/own", "/run/runc")]
    for kind, directory, expected in rows:
        assert deciding._default_root(kind, directory, os.getpid()) == expected  # noqa: SLF001


def test_decisions_that_cannot_be_recorded_are_reported_once_and_their_return_too(
    node: Node, capfd: pytest.CaptureFixture[str]
) -> None:
    directory, create = node.prefix / "var" / "ledger", words(node.bundle(PLAIN))
    directory.write_text("in the way")
    for _ in range(2):
        assert node.ask("runc", create) != COLD
    why = "decisions are not recorded: Not a directory; containers start all the same."
    assert capfd.readouterr().err.count(why) == 1
    directory.unlink()
    for _ in range(2):
        node.ask("runc", create)
    assert capfd.readouterr().err.count("decisions are recorded again.") == 1
