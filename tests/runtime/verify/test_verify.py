"""verify and status on real containers: later changes are found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.host.processes import wait_until
from harness.kernel import process_status
from harness.node import install
from harness.node.requirements import program
from runc_wrap.profiles import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.containers.bundles import Bundle
    from tests.runtime.conftest import Pair

ALLOW_ALL = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}],
}


class Fresh:
    """An installation with an empty ledger, and the runtime that it wraps."""

    def __init__(self, pair: Pair, place: Path) -> None:
        self.kind, self.bare = pair.kind, pair.bare
        self.installed = install.copy_of(pair.installed, place)
        self.wrapper = self.installed.wrapper
        for file in self.ledger.parent.glob("*"):
            file.unlink()

    @property
    def ledger(self) -> Path:
        return self.installed.prefix / "var" / "ledger" / "ledger.jsonl"

    def verify(self, *flags: str) -> tuple[int, Any]:
        """Return the exit status and the disagreeing containers."""
        done = self.installed.control("verify", "--json", *flags, ok=False)
        shown = json.loads(done.stdout)
        del shown["sampled"]  # of filters with very many conditions
        assert (shown.pop("unchecked"), shown.pop("users")) == ([], [])
        return done.returncode, shown

    def status(self, bundle: Bundle) -> Any:
        """Return the status of one container."""
        shown = json.loads(self.installed.control("status", "--json").stdout)
        return next((one for one in shown if one["id"] == bundle.name), None)


@pytest.fixture
def node(pair: Pair, tmp_path: Path) -> Fresh:
    return Fresh(pair, tmp_path / "prefix")


@pytest.fixture
def intruder() -> Iterator[Callable[..., int]]:
    """Start a process by an argv whose last process stays, and end it afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*argv: str) -> int:
        started.append(subprocess.Popen(argv, start_new_session=True))
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def differing(found: Any) -> list[str]:
    return [one["id"] for one in found["disagreeing"]]


@pytest.mark.parametrize("flags", [(), ("--deep",)], ids=str)
def test_a_correct_node_passes(
    node: Fresh, make_bundle: Callable[..., Bundle], flags: tuple[str, ...]
) -> None:
    confined, free = (
        make_bundle(node.kind),
        make_bundle(node.kind, {"runc-wrap/seccomp": "unconfined"}),
    )
    pid = confined.create(node.wrapper)
    free.create(node.wrapper)
    assert node.verify(*flags) == (0, {"checked": 2, "disagreeing": []})
    shown = node.status(confined)
    assert shown["pid"] == pid
    assert (shown["action"], shown["mode"], shown["agrees"]) == ("inject", "enforce", True)
    assert shown["effective"] == {"seccomp": 2, "filters": 1}
    shown = node.status(free)
    assert (shown["action"], shown["declared"], shown["agrees"]) == ("leave", "unconfined", True)
    assert shown["effective"] == {"seccomp": 0, "filters": 0}


def test_a_kept_profile_is_also_compared(node: Fresh, make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle(node.kind, seccomp=ALLOW_ALL)
    bundle.create(node.wrapper)
    assert node.verify("--deep") == (0, {"checked": 1, "disagreeing": []})
    assert node.status(bundle)["action"] == "keep"


def behind_our_back(node: Fresh, bundle: Bundle, block: Any) -> None:
    """Record the decision, then create the container with the bare runtime and this block."""
    bundle.create(node.wrapper)
    bundle.delete(node.bare)
    config = bundle.read()
    if block is None:
        del config["linux"]["seccomp"]
    else:
        config["linux"]["seccomp"] = block
    decided = bundle.config.read_bytes()
    bundle.config.write_text(json.dumps(config))
    bundle.create(node.bare)
    bundle.config.write_bytes(decided)


@pytest.mark.parametrize("flags", [(), ("--deep",)], ids=str)
def test_a_stripped_filter_is_found(
    node: Fresh, make_bundle: Callable[..., Bundle], flags: tuple[str, ...]
) -> None:
    good, stripped = make_bundle(node.kind), make_bundle(node.kind)
    good.create(node.wrapper)
    behind_our_back(node, stripped, None)
    code, found = node.verify(*flags)
    assert (code, found["checked"], differing(found)) == (1, 2, [stripped.name])
    one = found["disagreeing"][0]
    assert one["expected"] == {"seccomp": 2, "filters": 1}
    assert one["found"] == {"seccomp": 0, "filters": 0}
    assert bool(one["calls"]) == bool(flags)
    assert node.status(stripped)["agrees"] is False
    said = node.installed.control("verify", *flags, ok=False)
    assert stripped.name in said.stdout
    assert good.name not in said.stdout


def test_a_swapped_filter_is_found_call_by_call(
    node: Fresh, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(node.kind)
    bundle.create(node.wrapper)
    bundle.delete(node.bare)
    block = bundle.read()["linux"]["seccomp"]
    other = json.loads(json.dumps(block))
    other["syscalls"].append({"names": ["mount"], "action": "SCMP_ACT_ALLOW"})
    behind_our_back(node, bundle, other)
    assert node.verify() == (0, {"checked": 1, "disagreeing": []})  # there is a filter
    code, found = node.verify("--deep")
    assert (code, differing(found)) == (1, [bundle.name])
    calls = found["disagreeing"][0]["calls"]
    assert {call["syscall"] for call in calls} == {"mount"}
    assert syscalls.native().name in {call["abi"] for call in calls}
    assert {call["found"] for call in calls} == {"SCMP_ACT_ALLOW"}


def test_a_config_changed_afterwards_is_distinguished(
    node: Fresh, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(node.kind)
    bundle.create(node.wrapper)
    config = bundle.read()
    config["linux"]["seccomp"] = ALLOW_ALL
    bundle.config.write_text(json.dumps(config))
    code, found = node.verify("--deep")
    assert (code, differing(found)) == (1, [bundle.name])
    assert set(found["disagreeing"][0]["found"]) == {"digest"}


def test_a_forged_ledger_line_does_not_confine(
    node: Fresh, make_bundle: Callable[..., Bundle]
) -> None:
    model, bare = make_bundle(node.kind), make_bundle(node.kind)
    model.create(node.wrapper)
    bare.create(node.bare)
    line = json.loads(node.ledger.read_text())
    forged = {**line, "id": bare.name, "root": str(bare.path / "state")}
    node.ledger.write_text(node.ledger.read_text() + json.dumps(forged) + "\n")
    code, found = node.verify()
    assert (code, differing(found)) == (1, [bare.name])


def test_an_execd_process_without_a_filter_is_found(
    node: Fresh, make_bundle: Callable[..., Bundle], intruder: Callable[..., int]
) -> None:
    bundle = make_bundle(node.kind)
    init = bundle.create(node.wrapper)
    exec_confined(node, bundle)
    assert node.verify("--deep")[0] == 0
    intruder(program("nsenter"), "--target", str(init), "--pid", "/bin/sleep", "1000")
    code, found = node.verify()
    assert (code, differing(found)) == (1, [bundle.name])
    assert found["disagreeing"][0]["pid"] != init
    assert node.status(bundle)["effective"] == {"seccomp": 2, "filters": 1}
    shown = [one["name"] for one in node.status(bundle)["deviating"]]
    assert shown == ["sleep"]


def exec_confined(node: Fresh, bundle: Bundle) -> None:
    done = bundle.call(node.wrapper, "exec", "--detach", after=("/bin/sleep", "999"))
    assert done.returncode == 0, done.stdout
    wait_until(lambda: node.status(bundle)["processes"] == 2, "the exec'd process")


def test_a_process_in_the_containers_cgroup_is_found(
    node: Fresh, make_bundle: Callable[..., Bundle], intruder: Callable[..., int]
) -> None:
    bundle = make_bundle(node.kind)
    bundle.create(node.wrapper)
    stranger = intruder("/bin/sleep", "1000")
    assert node.verify()[0] == 0
    join_cgroup(stranger, bundle)
    code, found = node.verify()
    assert (code, [one["pid"] for one in found["disagreeing"]]) == (1, [stranger])


def join_cgroup(pid: int, bundle: Bundle) -> None:
    top = Path("/sys/fs/cgroup")
    places = [top, top / "pids"]
    target = next(p / bundle.name for p in places if (p / bundle.name / "cgroup.procs").exists())
    (target / "cgroup.procs").write_text(str(pid))


def test_a_container_that_has_not_started_is_no_mismatch(
    node: Fresh, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(node.kind)
    assert bundle.only_create(node.wrapper).returncode == 0
    assert node.status(bundle)["state"] == "created"
    assert node.verify()[0] == 0


def test_a_stopped_container_is_shown_without_a_pid(
    node: Fresh, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(node.kind)
    pid = bundle.create(node.wrapper)
    assert process_status.seccomp(pid) == process_status.FILTER
    bundle.call(node.bare, "kill", after=("KILL",))
    wait_until(lambda: node.status(bundle)["state"] == "stopped", "its end")
    shown = node.status(bundle)
    assert (shown["pid"], shown["agrees"], shown["action"]) == (None, None, "inject")
    assert node.verify()[0] == 0


def test_a_bare_container_in_a_known_root_has_no_decision(
    node: Fresh, make_bundle: Callable[..., Bundle]
) -> None:
    known, bare = make_bundle(node.kind), make_bundle(node.kind)
    known.create(node.wrapper)
    bare.create(node.bare)
    assert node.status(bare) is None  # its root is nobody's
    line = json.loads(node.ledger.read_text())
    other = {**line, "id": "other", "root": str(bare.path / "state")}
    node.ledger.write_text(node.ledger.read_text() + json.dumps(other) + "\n")
    shown = node.status(bare)
    assert (shown["action"], shown["declared"], shown["agrees"]) == (None, None, None)
    assert shown["effective"] == {"seccomp": 0, "filters": 0}


def _runs(bundle: Bundle, program_file: Path, *words: str) -> None:
    """Make the container run our static program."""
    with bundle.running(program_file, *words).edited() as config:
        for kind in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][kind] = ["CAP_SETGID"]


def _end(pid: int) -> None:
    """Kill what no runtime does: for runc a process has ended when its first thread has."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}/task").exists(), "its end")


def test_a_process_whose_first_thread_ended_is_found(
    node: Fresh, make_bundle: Callable[..., Bundle], built: Callable[[str], Path]
) -> None:
    bundle = make_bundle(node.kind)
    _runs(bundle, built("leaderless"))
    confined = bundle.create(node.wrapper)
    assert node.verify()[0] == 0
    _end(confined)
    bundle.delete(node.bare)
    config = bundle.read()
    del config["linux"]["seccomp"]
    bundle.config.write_text(json.dumps(config))
    pid = bundle.create(node.bare)  # unconfined, where the ledger says otherwise
    try:
        wait_until(
            lambda: process_status.status(pid)["State"].startswith("Z"), "the first thread's end"
        )
        status, found = node.verify()
        assert (status, differing(found)) == (1, [bundle.name])
    finally:
        _end(pid)


def test_a_process_of_many_groups_is_no_mismatch(
    node: Fresh, make_bundle: Callable[..., Bundle], built: Callable[[str], Path]
) -> None:
    """Its /proc/PID/status is hundreds of kilobytes long, with Seccomp at the end."""
    bundle = make_bundle(node.kind)
    _runs(bundle, built("leaderless"), "groups")
    pid = bundle.create(node.wrapper)
    wait_until(lambda: len(process_status.status(pid)["Groups"]) > 100_000, "the groups")
    status, found = node.verify()
    assert (status, found["checked"], differing(found)) == (0, 1, [])


def test_a_users_damaged_ledger_does_not_stop_the_nodes_verify(
    node: Fresh, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(node.kind)
    bundle.create(node.wrapper)
    with node.ledger.open("a") as file:
        file.write('{"id":"x","root":"/a\\u0000b","action":"inject"}\n')
    status, found = node.verify()
    assert (status, found["checked"]) == (0, 1)
