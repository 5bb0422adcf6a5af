"""Servers and language runtimes that must run under the default profile as without it.

Each serves real requests in its own network namespace and ends by itself. `clone3` is the one call
that the profile answers with ENOSYS, on purpose: glibc then starts the thread by clone(2), so every
program with threads is "denied" it and none notices. Safe means: nothing else, and the same output.
"""

from __future__ import annotations

import pytest

from harness.node.requirements import is_there
from tests.corpus import figures, nodes
from tests.corpus.catalogue import CATALOGUE, Entry
from tests.corpus.measure import LOOKING, Measured
from tests.corpus.nodes import AUDIT, native

pytestmark = pytest.mark.timeout(1200)  # the first test waits for all programs to run
WORKLOADS = "redis nginx postgresql node cpython jdk go strace chrony".split()


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    named = [entry for entry in CATALOGUE if entry.name in WORKLOADS]
    return [entry for entry in named if is_there(*entry.needs.split())]


def test_a_workload_runs_as_if_the_profile_were_not_there(
    found: dict[str, Measured], entries: list[Entry]
) -> None:
    assert entries
    wrong = figures.misses("-", entries, found)
    assert [one.sentence for one in wrong if not one.is_told] == []
    assert {run.status for one in found.values() for run in one.ran.values()} == {0}


@pytest.mark.parametrize("mode", LOOKING)
def test_a_workload_is_safe_but_for_the_call_that_glibc_falls_back_from(
    found: dict[str, Measured], mode: str
) -> None:
    for name, one in found.items():
        report = one.reports[mode]
        assert nodes.reported(report) <= native("clone3"), name
        if mode == AUDIT and name == "chrony":  # its own filter may hide calls
            assert "filters of their own" in report["reason"]
        else:
            assert report["verdict"] == "safe", (name, report["reason"])
