"""A sample of the corpus, at least one of each class: the report equals the kernel's trace.

`make corpus-report` does the same with the whole corpus. The ground truth comes from the kernel's
tracepoints and the filter read back, evaluated by harness/kernel/filter_emulation.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.node.requirements import requires
from tests.corpus import figures, measure
from tests.corpus.__main__ import sample
from tests.corpus.catalogue import CATALOGUE, KINDS, Entry
from tests.corpus.measure import LOOKING, SUGGESTED, Measured, Ran
from tests.corpus.nodes import AUDIT, BARE, ENFORCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.corpus.figures import Miss
    from tests.corpus.nodes import Call, Node

pytestmark = pytest.mark.timeout(1200)  # the first test waits for all programs to run
PROGRAMS, SEED = 12, 2
RUNTIMES = ("crun", "runc")


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    found = sample(PROGRAMS, SEED)
    requires(*(need for entry in found for need in entry.needs.split()))
    return found


@pytest.fixture(scope="module")
def built(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("programs")
    files = measure.build(directory)
    if any("main" in entry.files.split() for entry in entries):
        files["main"] = measure.build_go(directory)
    return files


@pytest.fixture(scope="module", params=RUNTIMES)
def found(
    request: pytest.FixtureRequest, entries: list[Entry], built: dict[str, bytes]
) -> dict[str, Measured]:
    node: Node = request.getfixturevalue(request.param)
    return measure.Bench(node, built).measure(entries)


def test_the_corpus_is_large_and_a_third_of_it_is_hard_to_see() -> None:
    names = [entry.name for entry in CATALOGUE]
    hard = [entry for entry in CATALOGUE if entry.kind not in KINDS[-2:]]
    assert len(names) == len(set(names)) >= 150
    assert 3 * len(hard) >= len(names)


def test_the_sample_has_a_program_of_each_class(entries: list[Entry]) -> None:
    assert {entry.kind for entry in entries} == set(KINDS)


def test_the_report_matches_what_would_be_denied(
    found: dict[str, Measured], entries: list[Entry]
) -> None:
    wrong = list(figures.misses("-", entries, found))
    assert [one.sentence for one in wrong if not one.is_told] == []
    for mode in LOOKING:
        row = figures.row("-", mode, entries, found)
        assert (row.invented, row.wrongly_safe, row.precision) == (0, 0, 1.0)
        assert row.right == row.true - len(_missed(wrong, mode)) > 0
        assert 0 < row.suggested == row.as_bare


def _missed(wrong: Sequence[Miss], mode: str) -> list[Miss]:
    return [one for one in wrong if one.mode == mode and one.kind == "missed"]


MOUNT: Call = ("x86_64", "mount")
ENTRY = Entry("one", KINDS[-1], "true")


def _measured(
    denied: Sequence[Call], reported: Sequence[Call], verdict: str, enforced: str = "same"
) -> dict[str, Measured]:
    outputs = {BARE: "same", ENFORCE: enforced, SUGGESTED + AUDIT: "same", AUDIT: "same"}
    ran = {mode: Ran(0, output) for mode, output in outputs.items()}
    ran[AUDIT] = Ran(0, "same", frozenset(denied))
    calls = [{"abi": abi, "syscall": syscall} for abi, syscall in reported]
    report = {"verdict": verdict, "calls": calls, "reason": None}
    quiet = Ran(0, "same")
    return {
        "one": Measured(
            ran | {"observe": quiet, SUGGESTED + "observe": quiet},
            {AUDIT: report, "observe": {**report, "verdict": "denied", "calls": []}},
        )
    }


@pytest.mark.parametrize(
    ("found", "figure", "kinds"),
    [
        (_measured([MOUNT], [MOUNT], "denied"), (1, 1, 0, 0, 1.0, 1.0), []),
        (_measured([MOUNT], [], "denied"), (1, 0, 0, 1, 1.0, 0.0), ["missed"]),
        (_measured([], [MOUNT], "denied"), (0, 0, 1, 0, 0.0, 1.0), ["invented"]),
        (_measured([], [], "safe", "other"), (0, 0, 0, 0, 1.0, 1.0), ["wrongly safe"]),
        (_measured([], [], "denied", "other"), (0, 0, 0, 0, 1.0, 1.0), []),
    ],
)
def test_a_planted_mistake_is_counted_correctly(
    found: Mapping[str, Measured], figure: tuple[float, ...], kinds: list[str]
) -> None:
    row = figures.row("-", AUDIT, [ENTRY], found)
    assert list(row)[3:9] == list(figure)
    assert [one.kind for one in figures.misses("-", [ENTRY], found)] == kinds
    counted = figures.by_call(AUDIT, found)
    assert not counted or f"{row.missed} missed" in figures.by_abi(AUDIT, found)
    for kind in ("right", "invented", "missed"):
        assert sum(one[kind] for one in counted.values()) == getattr(row, kind)
