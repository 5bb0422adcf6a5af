"""Programs of the corpus, recorded and then enforced with what was recorded, behave as bare."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.corpus import figures, nodes
from tests.corpus.catalogue import Entry
from tests.corpus.conftest import LONG
from tests.corpus.measure import SUGGESTED, Bench, Measured
from tests.corpus.nodes import BARE

pytestmark = LONG
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


@pytest.fixture(scope="module")
def bench() -> type[Bench]:
    return _Bench


def test_what_was_recorded_is_enough(found: dict[str, Measured], entries: list[Entry]) -> None:
    differ = {
        entry.name: f"{mode}: {found[entry.name].ran[mode]}, bare: {found[entry.name].ran[BARE]}"
        for mode in (RECORDED, SUGGESTED + RECORDED)
        for entry in entries
        if not figures.is_alike(entry, found[entry.name], mode)
    }
    print(f"{len(entries)} recorded and enforced, all as bare but {sorted(differ)}")  # noqa: T201 - the table
    assert differ == {}
