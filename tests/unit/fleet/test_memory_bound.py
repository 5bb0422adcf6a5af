"""Hostile nodes cannot make a merge take all memory, and the largest one is named."""

import json
import subprocess
import sys
from collections.abc import Iterable
from itertools import count
from typing import Any

import pytest

from harness.node.node_reports import document, workload
from runc_wrap.failure import Failure
from runc_wrap.fleet import memory_bound
from runc_wrap.fleet.memory_bound import bounded
from runc_wrap.report.merge.document_stream import NodeAnswer
from runc_wrap.report.merge.fleet_report import FleetReport
from runc_wrap.report.merge.node_document import FORM


def _taken(found: FleetReport, documents: Iterable[Any]) -> None:
    for one in documents:
        found.take(NodeAnswer(None, one, size=len(json.dumps(one))))


def test_more_than_fits_fails_and_names_the_node_to_omit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_bound, "MOST_MEMORY", 8)
    greedy = document("greedy", *(workload(f"w{at}") for at in range(10)))
    others = [document(f"n{at}", workload(), workload(f"x{at}")) for at in range(8)]
    for ordered in ([greedy, *others], [*others, greedy]):
        monkeypatch.setattr(memory_bound, "resident_memory", count().__next__)
        with pytest.raises(Failure, match="--without greedy"), bounded() as check:
            _taken(FleetReport((), FORM, check), ordered)
    with bounded() as check:
        found = FleetReport(("greedy",), FORM, check)
        _taken(found, [greedy, *others])
    assert (found.answered, found.is_whole) == (8, True)
    assert found.as_json([])["without"] == ["greedy"]


HOSTILE = """
import sys
from pathlib import Path
from runc_wrap.failure import Failure
from runc_wrap.fleet import memory_bound
from runc_wrap.report.merge.fleet_report import FleetReport
from runc_wrap.report.merge.document_stream import NodeAnswer
from harness.node.node_reports import call, document, workload
memory_bound.MOST_MEMORY = 32 << 20
LONG = "\\U0001f600" * 480  # four bytes each in memory
KINDS = {
    "calls": lambda at: [workload(f"{at}", *(call("x", i) for i in range(1000)))],
    "texts": lambda at: [
        workload(f"{at}.{i}", call("x", i, programs=[f"{at}.{i}.{j}{LONG}" for j in range(10)]))
        for i in range(60)
    ],
    "args": lambda at: [
        workload(f"{at}", *(call("x", i, args=[[i, j] for j in range(32)]) for i in range(200)))
    ],
}
def peak():  # in KiB; getrusage counts what the parent had
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
before = peak()
try:
    with memory_bound.bounded() as check:
        found = FleetReport(check=check)
        for at in range(200):
            one = document(f"n{at}", *KINDS[sys.argv[1]](at))
            found.take(NodeAnswer(None, one, size=1))
except Failure:
    print(peak() - before)
"""


@pytest.mark.parametrize("kind", ["calls", "texts", "args"])
def test_hostile_nodes_take_no_more_memory_than_the_bound(kind: str) -> None:
    argv = [sys.executable, "-c", HOSTILE, kind]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert 31 << 10 < int(done.stdout) < 64 << 10
