"""Which containers `tighten` takes, what it asks, and how it ends."""

import json
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runc_wrap.cli import tighten
from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.kernel import filter_readback, ptrace
from runc_wrap.host import cgroups
from runc_wrap.host.container_discovery import RUNNING, RuntimeContainer
from runc_wrap.ledger import decision_record
from runc_wrap.node.container_state.container_status import Apart, Entry, Node
from runc_wrap.profiles import return_codes
from runc_wrap.report import call_outcomes
from runc_wrap.report.workload_names import Workload
from runc_wrap.tighten import container_tightening, saved_state, tightening_plan, tracing_obstacles
from runc_wrap.tighten.laid_filter import LaidFilter
from runc_wrap.tighten.tightening_plan import HAS_IT, LEFT, PARTLY, PLANNED, REFUSED, TIGHTENED
from tests.unit.cli import ctl

WEB = ["web-7d9c8b5f6-x2k4p", "web-7d9c8b5f6-bbbbb"]
FROZEN = 5
RESTART_SYSCALL = 219
PROGRAM = [(bpf.LD_ABS, 0, 0, 0), (bpf.JEQ, 0, 1, RESTART_SYSCALL)]
PROGRAM += [(bpf.RET_K, 0, 0, code) for code in (return_codes.ALLOW, return_codes.ERRNO)]
DENIES_ALL_ELSE = b"".join(struct.pack("=HBBI", *one) for one in PROGRAM)
PIDS = {"late": 2, "strict": 4}


def entry(name: str, pod: str | None = None, owner: int = 0) -> Entry:
    line = {"id": name, "root": "/r", "action": "inject", "pod": pod, "container": "main"}
    pid = FROZEN if name == "paused" else 1
    container = RuntimeContainer("/r", name, "crun", RUNNING, pid, None, owner)
    members: Any = [SimpleNamespace(pid=PIDS.get(name, 1), parent=0, seccomp=0, filters=0)]
    return Entry(container, decision_record.of(line) if pod else None, members)


ENTRIES = [entry("web1", WEB[0]), entry("web2", WEB[1]), entry("done"), entry("opted-out")]


class Choice:
    def __init__(self, *_: object, is_named: bool) -> None:
        self._is_named = is_named

    runtime = "runc"

    def of(self, one: Entry) -> LaidFilter | None:
        is_out = one.container.id == "opted-out" and not self._is_named
        return None if is_out else LaidFilter("x", {}, DENIES_ALL_ELSE)

    def loader(self, _: str) -> Loader:
        return Loader("crun")


class Seen:
    """What was seen of workloads: that some pods make a call which the filter denies."""

    pods: tuple[str, ...] = ()
    notes = ("2 records were lost",)

    def __init__(self, _: object) -> None:
        pass

    def lost(self, whose: Workload, *_: object) -> list[Any]:
        said = {"verdict": call_outcomes.DENIED, "outcome": "EPERM"}
        found = {"syscall": "keyctl", "count": 3, **said}
        return [found] if whose.pod in self.pods else []


class Laying:
    """Reads and lays filters; `laid` are the containers that got one."""

    def __init__(self) -> None:
        self.laid: list[str] = []

    def read(self, container: RuntimeContainer, _: Loader) -> Any:
        name = container.id
        of = {"has": lambda _: name == "done", "with_filter": lambda *_: b"both"}
        return SimpleNamespace(notifies=name == "asks", **of)

    def read_threads(self, pids: list[int]) -> list[tuple[int, int, filter_readback.Read]]:
        found: dict[int, filter_readback.Read] = {2: filter_readback.unstopped(2), 4: ()}
        return [(pid, pid, found[pid]) for pid in pids if pid in found]

    def status(self, tid: int) -> Any:
        return SimpleNamespace(may_add=True, mode=int(tid == 4))

    def tighten(
        self, _: object, plan: tightening_plan.Tightening, *__: object, **___: object
    ) -> None:
        name = plan.entry.container.id
        self.laid.append(name)
        plan.result = PARTLY if name == "broken" else TIGHTENED
        plan.reasons = ["process 1: it cannot stop"] if name == "broken" else []
        plan.notes = ["the process 7 only joined its namespaces"] if name == "web1" else []


@dataclass(frozen=True)
class OnNode:
    """The command on a node whose containers are `entries`."""

    node: ctl.Node
    entries: list[Entry]
    laying: Laying

    def results(self, *words: str, status: int = 0) -> dict[str, str]:
        done = self.node.ctl("tighten", "--named", "x", "--json", *words, status=status)
        return {one["id"]: one["result"] for one in json.loads(done.stdout)["containers"]}


@pytest.fixture
def on_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OnNode:
    made = OnNode(ctl.node(tmp_path, monkeypatch), [*ENTRIES], Laying())
    users = Apart(1000, [entry("theirs", owner=1000)], [], 0)
    monkeypatch.setattr(tighten, "look", lambda _: Node(made.entries, 0, [], [users], []))
    monkeypatch.setattr(tighten, "FilterChoice", Choice)
    monkeypatch.setattr(tighten, "SeenCalls", Seen)
    monkeypatch.setattr(tracing_obstacles, "first", lambda: None)
    monkeypatch.setattr(saved_state, "read", made.laying.read)
    monkeypatch.setattr(filter_readback, "read_threads", made.laying.read_threads)
    monkeypatch.setattr(ptrace, "status", made.laying.status)
    monkeypatch.setattr(cgroups, "is_frozen", lambda pid: pid == FROZEN)
    monkeypatch.setattr(container_tightening, "tighten", made.laying.tighten)
    monkeypatch.setattr(container_tightening, "remove_unnamed", lambda _: None)
    return made


CHOSEN = [
    ([], {"web1": TIGHTENED, "web2": TIGHTENED, "done": HAS_IT}),
    (["web1"], {"web1": TIGHTENED}),
    (["opted-out"], {"opted-out": TIGHTENED}),
    (["web/main"], {"web1": TIGHTENED, "web2": TIGHTENED}),
    (["--canary", "1"], {"web1": TIGHTENED, "web2": LEFT, "done": HAS_IT}),
    (["--dry-run"], {"web1": PLANNED, "web2": PLANNED, "done": HAS_IT}),
]


@pytest.mark.parametrize(("words", "expected"), CHOSEN)
def test_who_is_tightened(on_node: OnNode, words: list[str], expected: dict[str, str]) -> None:
    assert on_node.results(*words) == expected
    assert on_node.laying.laid == [one for one, result in expected.items() if result == TIGHTENED]


LEFT_ALONE = [
    ("broken", PARTLY, 1),
    *((one, REFUSED, 1) for one in ("asks", "strict", "paused", "theirs")),
    ("late", TIGHTENED, 0),  # its process stops late, and is not given up before
]


@pytest.mark.parametrize(("name", "result", "status"), LEFT_ALONE)
def test_what_is_left_fails_the_command_and_no_other_container(
    on_node: OnNode, name: str, result: str, status: int
) -> None:
    if name != "theirs":
        on_node.entries.append(entry(name))
    assert on_node.results("web1", name, status=status) == {"web1": TIGHTENED, name: result}


@pytest.mark.parametrize("words", [["tighten", "--named", "x"], ["apply", "--live"]])
def test_what_keeps_all_from_being_tightened_is_said(
    on_node: OnNode, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(tracing_obstacles, "first", lambda: "ptrace_scope is 3")
    done = on_node.node.ctl(*words)
    assert (done.exit_code, on_node.laying.laid) == (2, [])
    assert "ptrace_scope is 3" in done.stderr


def test_others_containers_and_processes_that_only_joined_are_named(on_node: OnNode) -> None:
    done = on_node.node.ctl("tighten", "--named", "x", status=0)
    assert "left as they are, since they belong to other users: 1" in done.stderr
    assert "the process 7 only joined its namespaces" in done.stderr
    for unknown in ("nobody", "web"):  # an id's first three characters are too few
        assert on_node.node.ctl("tighten", "--named", "x", unknown).exit_code == 2


def test_a_thread_that_ends_before_it_is_read_keeps_no_container_from_being_tightened(
    on_node: OnNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have made another process, which lacks the filter as well."""

    def ended(tid: int) -> ptrace.Status:
        raise ptrace.gone(tid)

    everyone = [(9, 9, filter_readback.unstopped(9))]
    monkeypatch.setattr(filter_readback, "read_threads", lambda _: everyone)
    monkeypatch.setattr(ptrace, "status", ended)
    assert on_node.results("done") == {"done": TIGHTENED}


def test_who_has_a_part_is_tightened_again_and_a_canary_that_has_it_counts(on_node: OnNode) -> None:
    digest = LaidFilter("x", {}, DENIES_ALL_ELSE).digest
    part = {"laid": (digest,), "partly_laid": (digest,)}
    on_node.entries[1] = replace(on_node.entries[1], **part)  # type: ignore[arg-type]
    on_node.entries[2] = replace(on_node.entries[2], **part)  # type: ignore[arg-type]
    expected = {"web1": LEFT, "web2": TIGHTENED, "done": TIGHTENED}
    assert on_node.results("--canary", "1") == expected


def test_a_workload_that_needs_what_it_would_lose_is_refused(
    on_node: OnNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Seen, "pods", ("web",))
    expected = {"web1": REFUSED, "web2": REFUSED, "done": HAS_IT}
    assert on_node.results(status=1) == expected
    done = on_node.node.ctl("tighten", "--named", "x", "--dry-run")
    assert "note: 2 records were lost\nweb/main would lose: keyctl: EPERM (3 seen)" in done.stderr
    allowed = on_node.results("--even-if-denied")
    assert allowed == {"web1": TIGHTENED, "web2": TIGHTENED, "done": HAS_IT}


def test_a_name_is_meant_before_the_beginning_of_an_id_which_has_to_be_one_containers(
    on_node: OnNode,
) -> None:
    on_node.entries.extend(map(entry, ("web1-prod", "web1-prop", "db")))
    for name in ("web1", "db", "web1-prod"):
        assert on_node.results(name) == {name: TIGHTENED}
    assert on_node.node.ctl("tighten", "--named", "x", "web1-pro").exit_code == 2


ANSWERS = [
    ("y\n", [], 0),
    (None, [], 0),
    *((answer, [], 1) for answer in ("n\n", "\n", "")),
    *(("", [option], 0) for option in ("--yes", "--dry-run")),
]


@pytest.mark.parametrize(("answer", "words", "status"), ANSWERS)
def test_a_terminal_is_asked_if_there_is_one(
    on_node: OnNode,
    monkeypatch: pytest.MonkeyPatch,
    answer: str | None,
    words: list[str],
    status: int,
) -> None:
    terminal = None if answer is None else SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(tighten, "sys", SimpleNamespace(stdin=terminal))
    on_node.node.ctl("tighten", "--named", "x", *words, "web1", stdin=answer or "", status=status)
    is_laid = status == 0 and "--dry-run" not in words
    assert on_node.laying.laid == ["web1"] * is_laid
