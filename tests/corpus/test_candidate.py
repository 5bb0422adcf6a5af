"""Programs of the corpus under a loose profile with a candidate beside it: the report is exact.

What the candidate would deny more comes from the kernel's tracepoints, put to the filters of two
containers that enforce the one and the other (harness.kernel.filter_emulation).
"""

import json
from collections.abc import Sequence

import pytest

from harness.kernel import tracefs
from tests.corpus import figures, measure, nodes
from tests.corpus.catalogue import Entry
from tests.corpus.conftest import LONG
from tests.corpus.measure import Bench, Measured, Ran
from tests.corpus.nodes import BARE, PROFILE

pytestmark = LONG
BESIDE, LOOSE, STRICT = "beside", "loose", "strict"
_MORE = "@mount @debug @keyring @swap @clock @raw-io @aio unshare setns clone clone3 bpf syslog"
_CURRENT = " + ".join((PROFILE, *_MORE.split()))
_RULES = "".join(
    f'[[rule]]\nname = "{name}"\nnamespace = ["{name}"]\nmode = "enforce"\nprofile = "{profile}"\n'
    + (f'candidate = "{PROFILE}"\n' if name == BESIDE else "")
    for name, profile in ((BESIDE, _CURRENT), (LOOSE, _CURRENT), (STRICT, PROFILE))
)


class _Bench(Bench):
    """`measure` runs each program under the profile alone, as `BARE`, and traced beside it."""

    def measure(self, entries: Sequence[Entry]) -> dict[str, Measured]:
        found = {entry.name: Measured() for entry in entries}
        self.node.installed.configure(nodes.policy(self.node.kind) + _RULES)
        self._both = {
            caps: (self._enforced_filter(caps, LOOSE), self._enforced_filter(caps, STRICT))
            for caps in {entry.caps for entry in entries}
        }
        numbers = set().union(*(measure.answered(two) for _, two in self._both.values()))
        self._tracer = tracefs.Tracer(f"{self.node.kind}-candidate", numbers)
        try:
            for entry in entries:
                found[entry.name].ran[BARE] = Ran(*self._call(LOOSE, entry, ()))
                found[entry.name].ran[BESIDE] = self._traced(entry)
        finally:
            self._tracer.close()
        self.node.report()  # waits until all is in it
        done = self.node.installed.control("report", "--candidate", "--json", ok=False)
        for one in json.loads(done.stdout):
            if one["pod"] in found:
                found[one["pod"]].reports[BESIDE] = one
        return found

    def _traced(self, entry: Entry) -> Ran:
        with self._tracer.following() as traced:
            status, output = self._call(BESIDE, entry, traced.words())
        current, candidate = self._both[entry.caps]
        more = {
            measure.call_name(one)
            for one in traced.calls()
            if candidate.of(one).denies and not current.of(one).denies
        }
        return Ran(status, output, frozenset(more))


@pytest.fixture(scope="module")
def bench() -> type[Bench]:
    return _Bench


def test_the_candidates_report_is_what_enforcing_it_would_deny_more(
    found: dict[str, Measured], entries: list[Entry]
) -> None:
    assert {
        name: nodes.reported(one.reports[BESIDE]) ^ one.ran[BESIDE].denied
        for name, one in found.items()
    } == {name: set() for name in found}
    assert any(one.ran[BESIDE].denied for one in found.values())
    assert [
        (entry.name, found[entry.name].ran)
        for entry in entries
        if not figures.is_alike(entry, found[entry.name], BESIDE)
    ] == []
