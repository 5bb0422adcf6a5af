"""The installer's commands and kubectl's requests as transient units of a real systemd."""

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.host.processes import script
from harness.node.node_reports import document, workload
from harness.node.systemd import Manager as Systemd
from runc_wrap.cluster import policy_directory
from runc_wrap.cluster.host_commands import kubectl_requests, transient_unit
from runc_wrap.cluster.host_commands.systemd_dbus import DONE, FAILED, GONE, Manager, SystemdError
from runc_wrap.cluster.host_commands.transient_unit import Command
from runc_wrap.failure import Failure
from runc_wrap.node.paths import Places

SECONDS = 60.0


@pytest.fixture(scope="module")
def systemd() -> Iterator[Systemd]:
    with Systemd.running({}) as found:
        yield found


@pytest.fixture
def manager(systemd: Systemd) -> Manager:
    return Manager(systemd.place / "systemd" / "private")


def _sh(step: str, script: str, seconds: float = SECONDS) -> Command:
    return Command(step, ("/bin/sh", "-c", script), seconds)


ENDS = [  # script -> whether it is well, what it printed, what it said
    ("echo out; echo err >&2", (True, "out\n", "err\n")),
    ("echo out; echo err >&2; exit 3", (False, "out\n", "err\n")),
    ("kill -9 $$", (False, "", "status 9, and said nothing")),
    ('printf \'{"reason": "why"}\'; exit 1', (False, '{"reason": "why"}', "")),
]


@pytest.mark.parametrize(("script", "end"), ENDS)
def test_a_command_ends_as_it_does_and_leaves_no_unit(
    manager: Manager, tmp_path: Path, script: str, end: tuple[bool, str, str]
) -> None:
    command, (is_well, printed, said) = _sh("some", script), end
    ended = transient_unit.run(manager, tmp_path, command)
    assert (ended.is_well, ended.printed) == (is_well, printed)
    assert said in ended.said
    assert manager.end(command.unit).state == GONE
    assert bool(ended.reason)


def test_a_command_that_takes_too_long_is_ended(manager: Manager, tmp_path: Path) -> None:
    command = _sh("slow", "echo before >&2; exec sleep 300", 1.0)
    ended = transient_unit.run(manager, tmp_path, command)
    assert not ended.is_well
    assert ended.reason == f"before {command.unit} took longer than 1 s"


def test_the_end_of_the_pod_ends_no_command_and_the_next_pod_waits_for_it(
    manager: Manager, tmp_path: Path
) -> None:
    """Whoever began it is gone, and what it answers may be old: it is begun again after its end."""
    waits = f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"
    command = _sh("long", f"echo begun >> {tmp_path}/begun; {waits}; echo end >> {tmp_path}/begun")
    out, err = (tmp_path / f"long.{name}" for name in ("out", "err"))
    manager.start(command.unit, command.argv, out, err, seconds=SECONDS, stays=True)
    assert transient_unit.running(manager, ("another", "long")) == [command.unit]
    threading.Timer(0.5, (tmp_path / "go").touch).start()
    assert transient_unit.run(manager, tmp_path, command).is_well
    assert (tmp_path / "begun").read_text() == "begun\nend\n" * 2


def _over(manager: Manager, place: Path, script: str) -> Command:
    """Begin a command and wait until it is over, as a pod that was killed meanwhile."""
    command = _sh("over", script)
    out, err = (place / f"over.{name}" for name in ("out", "err"))
    manager.start(command.unit, command.argv, out, err, seconds=SECONDS, stays=True)
    until = time.monotonic() + SECONDS
    while manager.end(command.unit).state not in (DONE, FAILED):
        assert time.monotonic() < until
        time.sleep(0.1)
    return command


@pytest.mark.parametrize("status", [0, 1])
def test_what_ended_while_nobody_waited_is_begun_anew(
    manager: Manager, tmp_path: Path, status: int
) -> None:
    command = _over(manager, tmp_path, f"date +%N | tee -a {tmp_path}/all; exit {status}")
    ended = transient_unit.run(manager, tmp_path, command)
    _, second = (tmp_path / "all").read_text().splitlines()
    assert ended.printed == f"{second}\n"


def test_what_ended_while_nobody_waited_is_forgotten(manager: Manager, tmp_path: Path) -> None:
    command = _over(manager, tmp_path, "true")
    transient_unit.forget_old(manager, ("another",))
    assert manager.names("runc-wrap-cluster-*") == [command.unit]
    transient_unit.forget_old(manager, ("another", "over"))
    assert manager.names("runc-wrap-cluster-*") == []


def test_a_command_that_somebody_ends_is_told(
    systemd: Systemd, manager: Manager, tmp_path: Path
) -> None:
    command = _sh("stopped", f"touch {tmp_path}/runs; exec sleep 300")

    def stop() -> None:
        while not (tmp_path / "runs").exists():
            time.sleep(0.05)
        systemd.control("stop", command.unit)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(stop)
        ended = transient_unit.run(manager, tmp_path, command)
    assert not ended.is_well


def test_a_socket_that_nobody_serves_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemdError, match="does not answer"):
        Manager(tmp_path / "private").end("x.service")


MANY = [workload(f"w{at}") for at in range(2000)]  # more than the installer's own commands print


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def _printing(places: Places, text: str, status: int = 1) -> None:
    (places.prefix / "answer").write_text(text)
    does = f'echo "$@" >> {places.prefix}/words; cat {places.prefix}/answer; exit {status}'
    script(places.prefix / "bin" / "runc-wrapctl", does)


def test_the_report_comes_whole_if_something_would_break(manager: Manager, places: Places) -> None:
    text = json.dumps(document("n1", *MANY))
    assert len(text) > 1 << 20
    _printing(places, text)
    assert kubectl_requests.report(places, manager, "n1").decode() == text
    words = (places.prefix / "words").read_text().strip()
    assert words == f"--prefix {places.prefix} report --json --node n1"
    assert [*places.cluster.iterdir()] == []


WITHOUT = {
    "absent": (None, "runc-wrap is not installed on this node"),
    "failed": ("echo 'Error: no ledger' >&2; exit 2", "no ledger"),
    "silent": ("exit 3", "said nothing"),
    "endless": (f"head -c {kubectl_requests.LARGEST + 1} /dev/zero", "is larger than 16 MiB"),
}


@pytest.mark.parametrize("kind", WITHOUT)
def test_without_a_report_it_says_why_and_leaves_nothing(
    manager: Manager, places: Places, kind: str
) -> None:
    does, why = WITHOUT[kind]
    if does is not None:
        script(places.prefix / "bin" / "runc-wrapctl", does)
    with pytest.raises(Failure, match=why):
        kubectl_requests.report(places, manager, "n1")
    assert not places.cluster.exists() or [*places.cluster.iterdir()] == []


def test_what_an_interrupted_request_left_is_removed(manager: Manager, places: Places) -> None:
    """Its unit goes by itself when it ends, also if it fails."""
    _printing(places, "[]")
    places.cluster.mkdir(parents=True)
    left = []
    for request, does in (("report-0a", "true"), ("check-0b", "exit 1")):
        command = Command(request, ("/bin/sh", "-c", does), 300.0, stays=False)
        out, err = (places.cluster / f"{request}.{name}" for name in ("out", "err"))
        manager.start(command.unit, command.argv, out, err, seconds=300.0, stays=False)
        assert transient_unit.wait(manager, command.unit, 300.0).state == GONE
        left += [out, err]
    policy_directory.write_files(places.cluster / "check-0b", {"config.toml": b""})
    new, other = (places.cluster / name for name in ("report-2.out", "state.json"))
    for path in (new, other):
        path.touch()
    for path in (*left, places.cluster / "check-0b", other):
        os.utime(path, (time.time() - 3600,) * 2)
    kubectl_requests.report(places, manager, "n1")
    assert manager.names("runc-wrap-cluster-*") == []
    assert {*places.cluster.iterdir()} == {new, other}
