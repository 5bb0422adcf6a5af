"""What is kept of filters that were laid on containers, and what is looked at again."""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.host.container_discovery import RUNNING, RuntimeContainer
from runc_wrap.hotpath import ledger_file
from runc_wrap.node.container_state.container_status import Entry
from runc_wrap.node.paths import Places
from runc_wrap.profiles import syscall_names
from runc_wrap.tighten import container_tightening, laid_filter, saved_state
from runc_wrap.tighten.process_tightening import Outcomes, ProcessOutcome, SeccompState
from runc_wrap.tighten.tightening_plan import PARTLY, REFUSED, TIGHTENED, Tightening


def test_filters_that_the_ledger_does_not_name_any_more_are_removed(tmp_path: Path) -> None:
    places = Places(tmp_path)
    for directory in (places.ledger, places.tightened):
        directory.mkdir(parents=True)
    for name in ("named", "forgotten", "new"):
        file = places.tightened / f"{name}.bpf"
        file.touch()
        if name != "new":
            os.utime(file, (1, 1))
    line = {"time": "1", "id": "a", "root": "/r", "action": "tighten", "laid": ["named"]}
    (places.ledger / "ledger.jsonl").write_text(json.dumps(line) + "\n")
    container_tightening.remove_unnamed(places)
    assert {one.name for one in places.tightened.iterdir()} == {"named.bpf", "new.bpf"}


LIBSECCOMP = pytest.mark.skipif(
    syscall_names.known_to_libseccomp([]) is None, reason="libseccomp is missing"
)


STATES = SeccompState(0, 0), SeccompState(2, 1)
FIRST = {(os.getpid(), 1): ProcessOutcome(os.getpid(), 1, 1, *STATES, 0.0, None)}


class OfRunc:
    """A container of runc's without a filter, whose first process gets one."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.places, self.loader = Places(directory), Loader("runc")
        self.places.ledger.mkdir(parents=True)
        (directory / "one").mkdir()
        self.state = directory / "one" / "state.json"
        self.state.write_text('{"config": {"seccomp": null}}')
        self.container = RuntimeContainer(
            str(directory), "one", "runc", RUNNING, os.getpid(), None, 0
        )
        self.laid = laid_filter.of_overlay(
            {"deny": ["keyctl"], "deny_sockets": [], "existing": True}
        )
        monkeypatch.setattr(container_tightening, "members", lambda *_: [])
        monkeypatch.setattr(container_tightening, "tighten_container", lambda *_: FIRST)

    def tightened(self, *partly: str) -> Tightening:
        running = SimpleNamespace(is_running=lambda: True)
        first: Any = SimpleNamespace(pid=os.getpid(), handle=running)
        entry = Entry(self.container, None, [first], laid=partly, partly_laid=partly)
        plan = Tightening(entry, self.loader, laid=self.laid)
        container_tightening.tighten(self.places, plan, [self.container])
        return plan


@LIBSECCOMP
@pytest.mark.parametrize(("times", "result"), [(0, TIGHTENED), (1, TIGHTENED), (99, PARTLY)])
def test_what_the_runtime_writes_back_is_replaced_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int, result: str
) -> None:
    one = OfRunc(tmp_path, monkeypatch)
    before, written = one.state.read_text(), iter(range(times))

    def written_back(*_words: object) -> Outcomes:
        for _ in written:
            one.state.write_text(before)
            break
        return FIRST

    monkeypatch.setattr(container_tightening, "tighten_container", written_back)
    assert one.tightened().result == result
    assert saved_state.read(one.container, one.loader).has(one.laid)
    last = (one.places.ledger / "ledger.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["result"] == ("done" if result == TIGHTENED else "partial")


@LIBSECCOMP
def test_a_part_counts_until_a_filter_is_whole_that_is_as_strict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = OfRunc(tmp_path, monkeypatch)
    one.places.tightened.mkdir()
    parts = [one.laid] + [
        laid_filter.of_overlay({"deny": [call], "deny_sockets": [], "existing": True})
        for call in ("mkdir", "sysinfo")
    ]
    for part in parts:
        (one.places.tightened / f"{part.digest}.bpf").write_bytes(part.program)
    both: Any = {"deny": ["keyctl", "mkdir"], "deny_sockets": [], "existing": True}
    one.laid = laid_filter.of_overlay(both)
    assert one.tightened(*(part.digest for part in parts)).result == TIGHTENED
    last = (one.places.ledger / "ledger.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["partly"] == [parts[2].digest]


@LIBSECCOMP
def test_nothing_is_laid_that_cannot_be_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_words: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as after chattr +i

    one = OfRunc(tmp_path, monkeypatch)
    monkeypatch.setattr(ledger_file, "_write", forbidden)
    plan = one.tightened()
    assert (plan.result, plan.processes) == (REFUSED, {})
    assert "Operation not permitted" in plan.reasons[0]


@LIBSECCOMP
def test_a_container_whose_first_process_nobody_tightened_is_never_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = OfRunc(tmp_path, monkeypatch)
    monkeypatch.setattr(container_tightening, "tighten_container", lambda *_: {})
    plan = one.tightened()
    assert plan.result == PARTLY
    assert "or was not found" in plan.reasons[0]


@LIBSECCOMP
@pytest.mark.skipif(os.geteuid() != 0, reason="a runtime of root's is waited for")
@pytest.mark.parametrize(
    ("command", "seconds", "result"), [("update", 0.3, TIGHTENED), ("exec", 60, PARTLY)]
)
@pytest.mark.parametrize("is_saved", [False, True])
def test_a_command_that_began_before_is_waited_for_and_named_if_it_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    seconds: float,
    result: str,
    *,
    is_saved: bool,
) -> None:
    one = OfRunc(tmp_path, monkeypatch)
    if is_saved:  # by an earlier command, which did not come to its end
        saved = saved_state.read(one.container, one.loader)
        one.state.write_bytes(saved.with_filter(one.laid, one.loader))
    monkeypatch.setattr(container_tightening, "SECONDS", 10 if result == TIGHTENED else 0.3)
    shutil.copy("/bin/sh", tmp_path / "runc")
    words = [str(tmp_path / "runc"), "-c", "read line", command, "one"]
    with subprocess.Popen(words, stdin=-1) as runtime:
        timer = threading.Timer(seconds, runtime.kill)
        timer.start()
        plan = one.tightened()
        timer.cancel()
        runtime.kill()
    assert plan.result == result, plan.reasons
    named = [f"the runtime's process {runtime.pid} began an exec or update before, and goes on"]
    assert plan.reasons == ([] if result == TIGHTENED else named)
