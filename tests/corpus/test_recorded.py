"""Programs of the corpus, recorded and then enforced with what was recorded, behave as bare."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from harness.node.requirements import requires
from tests.corpus import figures, measure, nodes
from tests.corpus.__main__ import sample
from tests.corpus.measure import SUGGESTED, Bench, Measured
from tests.corpus.nodes import BARE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.corpus.catalogue import Entry
    from tests.corpus.nodes import Node

PROGRAMS, SEED = int(os.environ.get("RUNC_WRAP_TEST_CORPUS", "8")), 3  # 999 are all
pytestmark = pytest.mark.timeout(1200 if PROGRAMS < 99 else 5400)
RECORDED = "recorded"
_RULE = (
    f'[[rule]]\nname = "{RECORDED}"\nnamespace = ["{RECORDED}"]\nmode = "observe"\nrecord = true\n'
)


class _Bench(Bench):
    """`measure` runs each program bare, recorded, and enforced with what was recorded."""

    def measure(self, entries: list[Entry]) -> dict[str, Measured]:  # type: ignore[override]  # fewer
        found = {entry.name: Measured() for entry in entries}
        self.node.installed.configure(nodes.policy(self.node.kind) + _RULE)
        self._run_all(found, [(mode, one) for one in entries for mode in (BARE, RECORDED)])
        jobs = [(RECORDED, one) for one in entries]
        with ThreadPoolExecutor(2) as pool:
            profiles = dict(zip(jobs, pool.map(self._suggested, jobs), strict=True))
        self._configure(profiles)
        self._run_all(found, [(SUGGESTED + RECORDED, one) for one in entries])
        return found

    def _suggested(self, job: tuple[str, Entry]) -> str:
        words = ("--recorded", "--allow-dangerous", "--degrading", "--")
        name = f"{job[0]}/{job[1].name}/main"
        return self.node.installed.control("suggest", *words, name).stdout


def prepared(
    kind: str, request: pytest.FixtureRequest, directory: Path
) -> tuple[Node, list[Entry], dict[str, bytes]]:
    """Return the runtime's node, the sample's programs, and the files that they need."""
    entries = [one for one in sample(PROGRAMS, SEED) if not one.outranked]
    requires(*(need for entry in entries for need in entry.needs.split()))
    node: Node = request.getfixturevalue(kind)
    files = measure.build(directory / "built")
    if any("main" in entry.files.split() for entry in entries):
        files["main"] = measure.build_go(directory)
    return node, entries, files


@pytest.mark.parametrize("kind", ["runc", "crun"])
def test_what_was_recorded_is_enough(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    node, entries, files = prepared(kind, request, tmp_path)
    found = _Bench(node, files).measure(entries)
    differ = {
        entry.name: f"{mode}: {found[entry.name].ran[mode]}, bare: {found[entry.name].ran[BARE]}"
        for mode in (RECORDED, SUGGESTED + RECORDED)
        for entry in entries
        if not figures.is_alike(entry, found[entry.name], mode)
    }
    print(f"{kind}: {len(entries)} recorded and enforced, {len(entries) - len(differ)} behave as bare")  # noqa: T201, E501 - the table
    assert differ == {}
