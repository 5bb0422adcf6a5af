"""A node's document is taken whole or refused with a sentence."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.node.node_reports import call, document, workload
from runc_wrap.documents.reader import DocumentError
from runc_wrap.report.merge import node_document
from runc_wrap.report.merge.node_document import NodeDocument


def _read(value: object, form: int = node_document.FORM) -> NodeDocument:
    found = node_document.read(value, form)
    assert isinstance(found, NodeDocument)
    return found


def _refused(value: object) -> str:
    with pytest.raises(DocumentError) as error:
        node_document.read(value)
    return str(error.value)


def _kept(profiles: Any, *, adopts: Any = False) -> Any:
    return document("a", kept={"adopts": adopts, "profiles": profiles})


REFUSED = [
    ([], "not a node's report"),
    ({}, "has no form"),
    (document("a", form=3), "has the form 3"),
    (document("a", form=2), "is a report on candidates, which --candidate merges"),
    (document("a", form="1"), 'has the form "1"'),
    (document(""), "node: found"),
    (document("n" * 254), "wanted a name of 1 to 253 characters"),
    ({**document("a"), "node": ["a"]}, "node: found a list of 1"),
    (document("a", workloads=None), "workloads: found nothing, wanted a list"),
    (document("a", workload(), workload()), "the workload shop/web/app twice"),
    (document("a", workload(verdict="fine")), 'verdict: found "fine", wanted denied or'),
    (document("a", workload("web", call(verdict="fine"))), "calls[0].verdict: found"),
    (document("a", workload(since="yesterday")), "wanted a time such as"),
    (document("a", workload(image="i" * 1001)), "wanted a text of at most 1000 characters"),
    (document("a", workload("web", call(args=[[1] * 7]))), "wanted a list of at most 6"),
    (document("a", workload("web", call(args=[[-1]]))), "args[0][0]: found -1"),
    (document("a", workload("web", call(args=[[1 << 64]]))), "wanted a whole number from 0 to"),
    (document("a", workload("web", call(args=[[0]] * 33))), "wanted a list of at most 32"),
    (document("a", kept=3), "kept: found 3"),
    (document("a", notes=["x", 1]), "notes[1]: found 1"),
    (document("a", workload(containers=10**15 + 1)), "containers: found 1000000000000001"),
    (document("a", workload(watched=True)), "watched: found true"),
    (document("a", kept={"adopts": False}), "kept.profiles: found nothing"),
    (_kept({}, adopts=1), "kept.adopts: found 1"),
    (_kept({"x": -1}), "kept.profiles.x: found -1"),
    (_kept({"x" * 101: 1}), "at most 100 characters"),
    (_kept({"a": 10_000, "b": 1}), "kept counts 10001 co"),
    (_kept(dict.fromkeys("abcdefghijklmnopq", 1)), "wanted an object of at most 16 members"),
    (document("a", *[workload(f"w{at}") for at in range(5001)]), "wanted a list of at most 5000"),
    (document("a", workload("web", *[call()] * 1001)), "at most 1000"),
]


@pytest.mark.parametrize(("value", "why"), REFUSED)
def test_what_is_no_document_is_refused_with_a_sentence(value: Any, why: str) -> None:
    assert why in _refused(value)


NEEDED = (
    "calls containers running restarts lost lost_at_least lost_at_most dropped watched modes pods "
    "calls[0].number calls[0].arch calls[0].count calls[0].programs"
).split()


@pytest.mark.parametrize("place", NEEDED)
def test_a_missing_value_refuses_the_whole_document(place: str) -> None:
    row = workload("web", call())
    del (row["calls"][0] if "." in place else row)[place.rpartition(".")[2]]
    told = _refused(document("a", workload("db"), row))
    assert told.startswith(f"workloads[1].{place}: found nothing")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.sampled_from([*workload(), *call(), "workloads", "generated", "node"]), JSON)
def test_any_value_in_any_place_is_read_or_refused(key: str, value: Any) -> None:
    row = workload("web", call(**({key: value} if key in call() else {})))
    given_ = document("a", {**row, **({key: value} if key in row else {})})
    given_ |= {key: value} if key in given_ else {}
    said = ""
    try:
        node_document.read(given_)
    except DocumentError as error:
        said = str(error)
    assert said.isprintable()


SILENCE = [
    ({}, False),
    ({"watched": 0}, True),  # nobody looked
    ({"verdict": None}, True),
    ({"verdict": None, "modes": ["enforce"]}, False),  # enforced, nothing to be known
    ({"verdict": None, "modes": ["enforce", "audit"]}, True),
    ({"verdict": None, "modes": []}, True),
    ({"verdict": None, "modes": ["of a later release"]}, True),
    ({"verdict": "denied", "watched": 0}, False),
]


@pytest.mark.parametrize(("changes", "is_unknown"), SILENCE)
def test_silence_is_not_taken_for_safe(changes: dict[str, Any], is_unknown: bool) -> None:
    (found,) = _read(document("a", workload(**changes))).workloads
    assert found.is_unknown == is_unknown


def test_the_notes_that_are_written_are_those_that_are_read() -> None:
    said = ["x" * 2000, *(f"{'y' * at}" for at in range(100))]
    written = node_document.written([], "a", None, None, said)
    assert tuple(written["notes"]) == _read(written).notes
    assert len(written["notes"]) == 50
