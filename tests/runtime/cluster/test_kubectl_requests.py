"""The node's report as a pod asks for it: made by a unit of a real systemd, no file left."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.node import systemd as systemds
from harness.node.node_reports import document, workload
from runc_wrap.cluster import policy_directory
from runc_wrap.cluster.host_commands import kubectl_requests, transient_unit
from runc_wrap.cluster.host_commands.systemd_manager import GONE, Manager
from runc_wrap.cluster.host_commands.transient_unit import Command
from runc_wrap.failure import Failure
from runc_wrap.node.paths import Places
from runc_wrap.report.merge import document_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = [workload(f"w{at}") for at in range(2000)]  # more than the installer's own commands print


@pytest.fixture(scope="module")
def manager() -> Iterator[Manager]:
    with systemds.Manager.running({}) as found:
        yield Manager(found.place / "systemd" / "private")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "bin").mkdir()
    return Places(tmp_path)


def _installed(places: Places, script: str) -> None:
    program = places.prefix / "bin" / "runc-wrapctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def _printing(places: Places, text: str, status: int = 1) -> None:
    (places.prefix / "answer").write_text(text)
    _installed(
        places, f'echo "$@" >> {places.prefix}/words; cat {places.prefix}/answer; exit {status}'
    )


def test_the_report_comes_whole_even_if_something_would_break(
    manager: Manager, places: Places
) -> None:
    text = json.dumps(document("n1", *MANY))
    assert len(text) > 1 << 20
    _printing(places, text)
    assert kubectl_requests.report(places, manager, "n1").decode() == text
    words = (places.prefix / "words").read_text().strip()
    assert words == f"--prefix {places.prefix} report --json --node n1"
    assert [*places.cluster.iterdir()] == []


def test_two_who_ask_at_once_get_a_report_each(manager: Manager, places: Places) -> None:
    text = json.dumps(document("n1"))
    _printing(places, text, 0)
    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(kubectl_requests.report, places, manager, "n1") for _ in range(3)]
        assert {one.result().decode() for one in asking} == {text}
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
    script, why = WITHOUT[kind]
    if script is not None:
        _installed(places, script)
    with pytest.raises(Failure, match=why):
        kubectl_requests.report(places, manager, "n1")
    assert not places.cluster.exists() or [*places.cluster.iterdir()] == []


def test_what_an_interrupted_request_left_is_removed(manager: Manager, places: Places) -> None:
    """Its unit goes by itself when it ends, also if it fails."""
    _printing(places, "[]")
    places.cluster.mkdir(parents=True)
    left = []
    for request, script in (("report-0a", "true"), ("check-0b", "exit 1")):
        command = Command(request, ("/bin/sh", "-c", script), 300.0, stays=False)
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


def test_no_systemd_is_said(places: Places) -> None:
    _printing(places, "[]")
    with pytest.raises(Failure, match="systemd does not answer"):
        kubectl_requests.report(places, Manager(Path("/nowhere/private")), "n1")


def test_the_bound_is_that_of_a_document() -> None:
    assert kubectl_requests.LARGEST == document_stream.LARGEST
