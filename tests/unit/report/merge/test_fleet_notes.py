"""What nodes remark on their own reports is kept with their names, in bounded number."""

from __future__ import annotations

from harness.node.node_reports import document
from runc_wrap.report.merge import node_document
from runc_wrap.report.merge.document_stream import Document, NodeAnswer
from runc_wrap.report.merge.fleet_report import FleetReport
from runc_wrap.report.merge.node_document import NodeDocument


def _merged(**notes: list[str]) -> FleetReport:
    found = FleetReport()
    for node, said in notes.items():
        found.take(NodeAnswer(node, Document(document(node, notes=said))))
    assert found.refused == []
    return found


def test_the_same_remark_of_several_nodes_is_one_and_that_of_most_nodes_comes_first() -> None:
    found = _merged(a=["an audit rule"], b=["no agent runs"], c=["no agent runs"], d=[])
    assert found.notes.sentences() == [
        "on 2 nodes (b, c): such as on b: no agent runs",
        "on 1 node (a): an audit rule",
    ]
    assert found.is_whole
    assert found.as_json([])["notes"] == [
        {"note": "no agent runs", "nodes": 2, "names": ["b", "c"]},
        {"note": "an audit rule", "nodes": 1, "names": ["a"]},
    ]


def test_remarks_that_differ_in_numbers_are_one_and_show_those_of_the_first() -> None:
    found = _merged(a=["as of 08:00, 3 were lost"] * 2, b=["as of 09:30, 12 were lost"])
    (told,) = found.notes.sentences()
    assert told == "on 2 nodes (a, b): such as on a: as of 08:00, 3 were lost"
    (alone,) = _merged(a=["3 were lost", "4 were lost"]).notes.sentences()
    assert alone.startswith("on 1 node (a): ")  # and counted once


def test_of_many_nodes_the_first_ones_are_named() -> None:
    found = _merged(**{f"n{at}": ["x"] for at in range(30)})
    (told,) = found.notes.sentences()
    assert told.startswith("on 30 nodes (n0, n1, ")
    assert told.endswith(", n9 and 20 more): such as on n0: x")


def test_what_a_node_remarks_is_bounded_and_safe_to_print() -> None:
    said = ["\x1b[31m\n" + "x" * 10_000, *(f"{'y' * at}" for at in range(500))]
    found = _merged(a=said)
    told = found.notes.sentences()
    assert len(told) == 50
    assert all(one.isprintable() and len(one) < 1000 for one in told)


def test_what_most_nodes_remark_comes_first_however_much_one_node_does() -> None:
    many = {f"h{at}": [f"{'x' * at}{'y' * i}" for i in range(1, 50)] for at in range(40)}
    for order in ({**many, "a": ["z"], "b": ["z"]}, {"a": ["z"], **many, "b": ["z"]}):
        assert _merged(**order).notes.sentences()[0] == "on 2 nodes (a, b): such as on a: z"


def test_what_is_written_is_what_is_read() -> None:
    said = ["x" * 2000, *(f"{'y' * at}" for at in range(100))]
    written = node_document.written([], "a", None, None, said)
    found = node_document.read(written)
    assert isinstance(found, NodeDocument)
    assert tuple(written["notes"]) == found.notes
    assert len(written["notes"]) == 50
