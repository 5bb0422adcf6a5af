"""verify and status on real containers: later changes are found."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.containers.block_rules import profile, rule
from harness.containers.bundles import Bundle
from harness.host.processes import Daemon, wait_until
from harness.kernel import process_status
from harness.node import install
from harness.node.requirements import program
from runc_wrap.profiles import syscall_names
from tests.runtime.conftest import Lab, Pair

ALLOW_ALL = profile(rule("ERRNO", "mkdir"))


class Fresh(Lab):
    """A runtime and an installation with an empty ledger."""

    @property
    def ledger(self) -> Path:
        return self.node.prefix / "var" / "ledger" / "ledger.jsonl"

    def verify(self, *flags: str) -> tuple[int, Any]:
        """Return the exit status and the disagreeing containers."""
        done = self.node.control("verify", "--json", *flags, ok=False)
        shown = json.loads(done.stdout)
        del shown["sampled"]  # of filters with very many conditions
        assert (shown.pop("unchecked"), shown.pop("users")) == ([], [])
        return done.returncode, shown

    def status(self, bundle: Bundle) -> Any:
        """Return the status of one container."""
        return next((one for one in self.node.shown("status") if one["id"] == bundle.name), None)


@pytest.fixture
def node(pair: Pair, tmp_path: Path) -> install.Installed:
    return install.copy_of(pair.installed, tmp_path / "prefix")


@pytest.fixture
def lab(pair: Pair, request: pytest.FixtureRequest) -> Fresh:
    return Fresh(pair, request)


@pytest.fixture
def intruder(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Start a process by an argv whose last process stays, and end it afterwards."""
    with ExitStack() as stack:
        yield lambda *argv: stack.enter_context(Daemon(argv, tmp_path / "intruder")).pid


def differing(found: Any) -> list[str]:
    return [one["id"] for one in found["disagreeing"]]


@pytest.mark.parametrize("flags", [(), ("--deep",)], ids=str)
def test_a_correct_node_passes(lab: Fresh, flags: tuple[str, ...]) -> None:
    confined, free = (lab.bundle(), lab.bundle({"runc-wrap/seccomp": "unconfined"}))
    pid = confined.create(lab.wrapper)
    free.create(lab.wrapper)
    assert lab.verify(*flags) == (0, {"checked": 2, "disagreeing": []})
    shown = lab.status(confined)
    assert shown["pid"] == pid
    assert (shown["action"], shown["mode"], shown["agrees"]) == ("inject", "enforce", True)
    assert shown["effective"] == {"seccomp": 2, "filters": 1}
    shown = lab.status(free)
    assert (shown["action"], shown["declared"], shown["agrees"]) == ("leave", "unconfined", True)
    assert shown["effective"] == {"seccomp": 0, "filters": 0}


def test_a_kept_profile_is_also_compared(lab: Fresh) -> None:
    bundle = lab.bundle(seccomp=ALLOW_ALL)
    bundle.create(lab.wrapper)
    assert lab.verify("--deep") == (0, {"checked": 1, "disagreeing": []})
    assert lab.status(bundle)["action"] == "keep"


def behind_our_back(lab: Lab, bundle: Bundle, change: Callable[[Any], object]) -> int:
    """Record the decision; create the container with the bare runtime, `linux` being changed."""
    bundle.create(lab.wrapper)
    bundle.delete(lab.bare)
    decided = bundle.config.read_bytes()
    with bundle.edited() as config:
        change(config["linux"])
    pid = bundle.create(lab.bare)
    bundle.config.write_bytes(decided)
    return pid


def loosened(linux: Any) -> None:
    linux["seccomp"]["syscalls"].append({"names": ["mount"], "action": "SCMP_ACT_ALLOW"})


@pytest.mark.parametrize("flags", [(), ("--deep",)], ids=str)
def test_a_stripped_filter_is_found(lab: Fresh, flags: tuple[str, ...]) -> None:
    good, stripped = lab.bundle(), lab.bundle()
    good.create(lab.wrapper)
    behind_our_back(lab, stripped, lambda linux: linux.pop("seccomp"))
    code, found = lab.verify(*flags)
    assert (code, found["checked"], differing(found)) == (1, 2, [stripped.name])
    one = found["disagreeing"][0]
    assert one["expected"] == {"seccomp": 2, "filters": 1}
    assert one["found"] == {"seccomp": 0, "filters": 0}
    assert bool(one["calls"]) == bool(flags)
    assert lab.status(stripped)["agrees"] is False
    said = lab.node.control("verify", *flags, ok=False)
    assert stripped.name in said.stdout
    assert good.name not in said.stdout


def test_a_swapped_filter_is_found_call_by_call(lab: Fresh) -> None:
    bundle = lab.bundle()
    behind_our_back(lab, bundle, loosened)
    assert lab.verify() == (0, {"checked": 1, "disagreeing": []})  # there is a filter
    code, found = lab.verify("--deep")
    assert (code, differing(found)) == (1, [bundle.name])
    calls = found["disagreeing"][0]["calls"]
    assert {call["syscall"] for call in calls} == {"mount"}
    assert syscall_names.native().name in {call["abi"] for call in calls}
    assert {call["found"] for call in calls} == {"SCMP_ACT_ALLOW"}


def test_a_config_changed_afterwards_is_distinguished(lab: Fresh) -> None:
    bundle = lab.bundle()
    bundle.create(lab.wrapper)
    with bundle.edited() as config:
        config["linux"]["seccomp"] = ALLOW_ALL
    code, found = lab.verify("--deep")
    assert (code, differing(found)) == (1, [bundle.name])
    assert set(found["disagreeing"][0]["found"]) == {"digest"}


def test_a_forged_ledger_line_does_not_confine(lab: Fresh) -> None:
    model, bare = lab.bundle(), lab.bundle()
    model.create(lab.wrapper)
    bare.create(lab.bare)
    line = json.loads(lab.ledger.read_text())
    forged = {**line, "id": bare.name, "root": str(bare.path / "state")}
    lab.ledger.write_text(lab.ledger.read_text() + json.dumps(forged) + "\n")
    code, found = lab.verify()
    assert (code, differing(found)) == (1, [bare.name])


def test_an_exec_without_a_filter_is_found(lab: Fresh, intruder: Callable[..., int]) -> None:
    bundle = lab.bundle()
    init = bundle.create(lab.wrapper)
    exec_confined(lab, bundle)
    assert lab.verify("--deep")[0] == 0
    intruder(program("nsenter"), "--target", str(init), "--pid", "/bin/sleep", "1000")
    code, found = lab.verify()
    assert (code, differing(found)) == (1, [bundle.name])
    assert found["disagreeing"][0]["pid"] != init
    assert lab.status(bundle)["effective"] == {"seccomp": 2, "filters": 1}
    shown = [one["name"] for one in lab.status(bundle)["deviating"]]
    assert shown == ["sleep"]


def exec_confined(lab: Fresh, bundle: Bundle) -> None:
    done = bundle.call(lab.wrapper, "exec", "--detach", after=("/bin/sleep", "999"))
    assert done.returncode == 0, done.stdout
    wait_until(lambda: lab.status(bundle)["processes"] == 2, "the exec'd process")


def test_a_process_in_its_cgroup_is_found(lab: Fresh, intruder: Callable[..., int]) -> None:
    bundle = lab.bundle()
    bundle.create(lab.wrapper)
    stranger = intruder("/bin/sleep", "1000")
    assert lab.verify()[0] == 0
    join_cgroup(stranger, bundle)
    code, found = lab.verify()
    assert (code, [one["pid"] for one in found["disagreeing"]]) == (1, [stranger])


def join_cgroup(pid: int, bundle: Bundle) -> None:
    top = Path("/sys/fs/cgroup")
    places = [top, top / "pids"]
    target = next(p / bundle.name for p in places if (p / bundle.name / "cgroup.procs").exists())
    (target / "cgroup.procs").write_text(str(pid))


def test_a_container_that_has_not_started_is_no_mismatch(lab: Fresh) -> None:
    bundle = lab.bundle()
    assert bundle.only_create(lab.wrapper).returncode == 0
    assert lab.status(bundle)["state"] == "created"
    assert lab.verify()[0] == 0


def test_a_stopped_container_is_shown_without_a_pid(lab: Fresh) -> None:
    bundle = lab.bundle()
    pid = bundle.create(lab.wrapper)
    assert process_status.seccomp(pid) == process_status.FILTER
    bundle.call(lab.bare, "kill", after=("KILL",))
    wait_until(lambda: lab.status(bundle)["state"] == "stopped", "its end")
    shown = lab.status(bundle)
    assert (shown["pid"], shown["agrees"], shown["action"]) == (None, None, "inject")
    assert lab.verify()[0] == 0


def test_a_bare_container_in_a_known_root_has_no_decision(lab: Fresh) -> None:
    known, bare = lab.bundle(), lab.bundle()
    known.create(lab.wrapper)
    bare.create(lab.bare)
    assert lab.status(bare) is None  # its root is nobody's
    line = json.loads(lab.ledger.read_text())
    other = {**line, "id": "other", "root": str(bare.path / "state")}
    lab.ledger.write_text(lab.ledger.read_text() + json.dumps(other) + "\n")
    shown = lab.status(bare)
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


def test_a_process_whose_first_thread_ended_is_found(lab: Fresh) -> None:
    bundle = lab.bundle()
    _runs(bundle, lab.built("leaderless"))
    confined = bundle.create(lab.wrapper)
    assert lab.verify()[0] == 0
    _end(confined)
    bundle.delete(lab.bare)
    with bundle.edited() as config:
        del config["linux"]["seccomp"]
    pid = bundle.create(lab.bare)  # unconfined, where the ledger says otherwise
    try:
        wait_until(lambda: process_status.status(pid)["State"][0] == "Z", "the first thread's end")
        status, found = lab.verify()
        assert (status, differing(found)) == (1, [bundle.name])
    finally:
        _end(pid)


def test_a_process_of_many_groups_is_no_mismatch(lab: Fresh) -> None:
    """Its /proc/PID/status is hundreds of kilobytes long, with Seccomp at the end."""
    bundle = lab.bundle()
    _runs(bundle, lab.built("leaderless"), "groups")
    pid = bundle.create(lab.wrapper)
    wait_until(lambda: len(process_status.status(pid)["Groups"]) > 100_000, "the groups")
    status, found = lab.verify()
    assert (status, found["checked"], differing(found)) == (0, 1, [])


def test_a_users_damaged_ledger_does_not_stop_the_nodes_verify(lab: Fresh) -> None:
    bundle = lab.bundle()
    bundle.create(lab.wrapper)
    with lab.ledger.open("a") as file:
        file.write('{"id":"x","root":"/a\\u0000b","action":"inject"}\n')
    status, found = lab.verify()
    assert (status, found["checked"]) == (0, 1)
