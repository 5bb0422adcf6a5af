"""Documents of many nodes become workloads of the fleet; what is unknown stays so."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.node.node_reports import WATCHED, call, document, unknown, workload
from runc_wrap.report.merge import node_document
from runc_wrap.report.merge.document_stream import NodeAnswer
from runc_wrap.report.merge.fleet_report import AnsweredTwice, FleetReport
from runc_wrap.report.merge.merged_workload import MergedWorkload
from runc_wrap.report.suggestion import dangerous_calls

SAFE, DENIED, UNKNOWN = workload(), workload("web", call()), unknown()
DEGRADES = workload("web", call(verdict="degrades", errno="ENOSYS"), verdict="degrades")
DEPENDS = workload("web", call(verdict="depends"), verdict="depends")
QUIET = workload(verdict=None, reason="Already enforced.", modes=["enforce"], watched=0)


def _merged(*documents: Any) -> FleetReport:
    found = FleetReport()
    for at, one in enumerate(documents):
        found.take(NodeAnswer(None, one, mark=at), f"document {at}")
    return found


def _one(*rows: Any) -> MergedWorkload:
    (found,) = _merged(*(document(f"n{at}", row) for at, row in enumerate(rows))).workloads()
    return found


WORST = [
    ([SAFE, SAFE], "safe", False),
    ([SAFE, DENIED], "denied", True),
    ([DEPENDS, DENIED, SAFE], "denied", True),
    ([DEGRADES, DEPENDS], "depends", True),
    ([DEGRADES, SAFE], "degrades", False),
    ([SAFE, UNKNOWN], None, True),
    ([DEGRADES, UNKNOWN], None, True),
    ([DENIED, UNKNOWN], "denied", True),
    ([SAFE, QUIET], "safe", False),
    ([QUIET, QUIET], None, False),
    ([QUIET, UNKNOWN], None, True),
    ([{**SAFE, "calls": [call()]}], "denied", True),  # what it saw counts, not what it says
]


@pytest.mark.parametrize(("rows", "verdict", "is_wrong"), WORST)
def test_the_worst_node_decides_and_one_that_knows_nothing_keeps_from_safe(
    rows: list[Any], verdict: str | None, is_wrong: bool
) -> None:
    for ordered in (rows, rows[::-1]):
        found = _one(*ordered)
        assert (found.verdict, found.is_wrong) == (verdict, is_wrong)
        assert (found.reason is None) == (verdict is not None)


def test_it_says_how_many_stand_behind_it_and_how_long_each_was_watched() -> None:
    found = _one(SAFE, workload(watched=3600, containers=5), {**SAFE, "restarts": 2})
    times = "8 days at most, 1 hour at least (on n1)"
    assert found.confidence == f"Watched briefly: {times}, in 9 containers on 3 nodes."
    shown = found.as_json()
    assert (shown["nodes"], shown["containers"], shown["restarts"]) == (3, 9, 2)
    assert (shown["watched"], shown["watched_least"]) == (WATCHED, {"seconds": 3600, "node": "n1"})


DOUBTS = [
    ({"dropped": 2}, "2 calls beyond the kinds that are kept"),
    ({"lost": 3}, "3 records lost"),
    ({"unshown": "It has CAP_SYS_ADMIN: \x1b[31m"}, "to every process that has a filter"),
]


@pytest.mark.parametrize(("doubt", "said"), DOUBTS)
def test_a_doubt_of_one_node_is_one_of_all(doubt: dict[str, Any], said: str) -> None:
    sure = _one(SAFE, SAFE).confidence
    assert (sure.startswith("Well watched: "), said in sure) == (True, False)
    for rows in ((SAFE, workload(**doubt)), (workload(**doubt), SAFE)):
        found = _one(*rows)
        assert found.confidence.startswith("Well watched: ") is ("unshown" in doubt)
        assert said in found.confidence
        assert "\x1b" not in json.dumps(found.as_json(), ensure_ascii=False)


def test_it_names_the_nodes_on_which_nothing_is_known() -> None:
    found = _one(SAFE, *[UNKNOWN] * 12)
    why = "nothing was watching while its containers ran."
    assert found.reason == f"Unknown on 12 of 13 nodes (n1, n2, n3 and 9 more): {why}"
    assert found.as_json()["unknown"]["names"] == [f"n{at}" for at in range(1, 11)]
    assert "; unknown on 1 of 2 nodes (n1)" in _one(DENIED, UNKNOWN).confidence


def test_calls_are_added_up_and_the_worst_outcome_counts() -> None:
    late = call(count=5, programs=["/usr/bin/other"], last="2026-11-19T00:00:00Z")
    early = call(verdict="degrades", errno="ENOSYS", first="2026-11-01T00:00:00Z", count=7)
    found = _one(workload("web", early), workload("web", late), workload("web", call("bpf", 321)))
    (row, other) = found.rows
    assert (row.syscall, row.verdict, row.errno, row.count) == ("unshare", "denied", "EPERM", 12)
    assert set(row.programs) == {"/usr/bin/unshare", "/usr/bin/other"}
    shown = row.as_json()
    assert (shown["first"], shown["last"]) == ("2026-11-01T00:00:00Z", "2026-11-19T00:00:00Z")
    assert other.syscall == "bpf"


@pytest.mark.parametrize("turn", [1, -1])
def test_a_clone3_that_clone_cannot_replace_outweighs_others(turn: int) -> None:
    thread = call("clone3", 435, verdict="degrades", outcome="ENOSYS", expected=True)
    beyond = {**thread, "outcome": "ENOSYS, and clone has no CLONE_INTO_CGROUP", "expected": False}
    rows = [workload("web", one, verdict="degrades") for one in (thread, beyond)]
    (row,) = _one(*rows[::turn]).rows
    assert (row.how, row.is_expected) == (beyond["outcome"], False)


def test_arguments_are_known_only_if_every_node_knows_them() -> None:
    known, other = call(args=[[1, None]]), call(args=[[2, None]])
    (row,) = _one(workload("web", known), workload("web", other)).rows
    assert (row.has_args, [*row.args]) == (True, [(1, *[None] * 5), (2, *[None] * 5)])
    for calls in ([call()], [known, call()], [call(), known]):
        (row,) = _one(*(workload("web", one) for one in calls)).rows
        assert (row.has_args, row.as_json()["args"]) == (False, None)
    many = [workload("web", call(args=[[at]])) for at in range(33)]
    assert [_one(*many[:kinds]).rows[0].has_args for kinds in (32, 33)] == [True, False]


LEFT_OUT = [("socket", 41, []), ("socket", 41, [16]), ("clone", 56, []), ("unshare", 272, [])]


@pytest.mark.parametrize(("name", "number", "args"), LEFT_OUT)
def test_arguments_that_are_left_out_are_unknown(name: str, number: int, args: list[int]) -> None:
    (row,) = _one(workload("web", call(name, number, args=[args]))).rows
    assert dangerous_calls.why(row)


def test_the_first_programs_of_a_call_are_kept() -> None:
    rows = [workload("web", call(programs=[f"/{at}"])) for at in range(11)]
    assert [len(_one(*rows[:most]).rows[0].programs) for most in (9, 10, 11)] == [9, 10, 10]


def test_a_name_that_the_kernel_does_not_have_is_not_believed() -> None:
    """A hostile node calls mount read, so that it would be let through by its name."""
    (row,) = _one(workload("web", call("read", 165))).rows
    assert row.syscall == "mount"


def test_an_answer_counts_after_a_failed_attempt() -> None:
    silent = node_document.silent("a", "it timed out")
    found = _merged(silent, document("a", SAFE))
    assert (found.is_whole, found.answered, found.silent) == (True, 1, [])


SECOND = [
    (document("a", DENIED), " (the second is document 2)"),  # only this shows who lies about a
    (node_document.silent("a", "no"), ""),
]


@pytest.mark.parametrize(("second", "where"), SECOND)
def test_two_different_answers_of_one_node_are_refused(second: Any, where: str) -> None:
    with pytest.raises(AnsweredTwice) as error:
        _merged(document("b", SAFE), document("a", SAFE), second)
    assert str(error.value).startswith(f"a gave two different answers{where}: ")
    assert str(error.value).endswith(" --without a")


def test_the_same_answer_twice_counts_once() -> None:
    found = FleetReport()
    for _ in range(2):
        found.take(NodeAnswer("a", document("a", DENIED), mark=7))
    assert (found.answered, found.workloads()[0].containers) == (1, DENIED["containers"])


def test_a_refused_document_adds_nothing() -> None:
    bad = document("b", workload("db", call()), workload(containers=-1))
    found = _merged(document("a", SAFE), bad)
    assert [one.name for one in found.workloads()] == ["shop/web/app"]
    assert (found.answered, found.is_whole) == (1, False)
    assert found.refused[0].sentence.startswith('"document 1": workloads[1].containers: found -1')


@given(st.permutations([SAFE, DENIED, UNKNOWN, DEGRADES, DEPENDS, QUIET]))
def test_the_order_of_nodes_changes_no_number(rows: list[Any]) -> None:
    first = _one(SAFE, DENIED, UNKNOWN, DEGRADES, DEPENDS, QUIET).as_json()
    found = _one(*rows).as_json()
    same = "verdict nodes containers running watched lost modes since calls".split()
    assert {key: found[key] for key in same} == {key: first[key] for key in same}


def test_names_with_escapes_are_shown_escaped() -> None:
    hostile = "\x1b]0;x\x07<script>\u202e"
    row = workload("web", namespace=hostile, verdict=None, watched=0)
    found = _merged(document(hostile, row), node_document.silent(hostile + "b", hostile))
    (one,) = found.workloads()
    for shown in (found.silent[0].sentence, one.reason, one.confidence):
        assert str(shown).isprintable()


def _keeping(node: str, number: int, *, adopts: bool = False, name: str = "containerd@2.1") -> Any:
    return document(node, kept={"adopts": adopts, "profiles": {name: number}})


def test_containers_that_keep_their_engines_default_are_added_up_apart_by_adoption() -> None:
    old = document("old")
    del old["kept"], old["notes"]
    keep = [_keeping("a", 3), _keeping("b", 4, name="cri-o@1.34"), _keeping("c", 1, adopts=True)]
    found = _merged(*keep, document("d"), old, document("null", kept=None, notes=None))
    assert found.refused == []
    other, one = found.as_json([])["kept"]
    profiles = {"containerd@2.1": 3, "cri-o@1.34": 4}
    assert other == {"adopts": False, "nodes": 2, "containers": 7, "profiles": profiles}
    assert one == {"adopts": True, "nodes": 1, "containers": 1, "profiles": {"containerd@2.1": 1}}
    left, taken = found.kept.sentences()
    assert left.startswith("7 containers on 2 nodes keep their engine's default profile (cri-o@1.")
    assert taken.endswith(": the policy decides about those that start from now on")


def test_names_of_kept_profiles_are_few_and_safe_to_print() -> None:
    found = _merged(*(_keeping(f"n{at}", 1, name=f"\x1b[31m{at}") for at in range(100)))
    (row,) = found.as_json([])["kept"]
    assert (row["containers"], row["nodes"], len(row["profiles"])) == (100, 100, 100)
    (told,) = found.kept.sentences()
    assert "\x1b" not in told
    assert " and 95 more)" in told


def _noted(**notes: list[str]) -> FleetReport:
    found = _merged(*(document(node, notes=said) for node, said in notes.items()))
    assert found.refused == []
    return found


def test_the_same_remark_of_several_nodes_is_one_and_that_of_most_nodes_comes_first() -> None:
    found = _noted(a=["an audit rule"], b=["no agent runs"], c=["no agent runs"], d=[])
    told = "on 2 nodes (b, c): such as on b: no agent runs"
    assert found.notes.sentences() == [told, "on 1 node (a): an audit rule"]
    assert found.is_whole
    assert found.as_json([])["notes"] == [
        {"note": "no agent runs", "nodes": 2, "names": ["b", "c"]},
        {"note": "an audit rule", "nodes": 1, "names": ["a"]},
    ]


def test_remarks_that_differ_in_numbers_are_one_and_show_those_of_the_first() -> None:
    found = _noted(a=["as of 08:00, 3 were lost"] * 2, b=["as of 09:30, 12 were lost"])
    (told,) = found.notes.sentences()
    assert told == "on 2 nodes (a, b): such as on a: as of 08:00, 3 were lost"
    (alone,) = _noted(a=["3 were lost", "4 were lost"]).notes.sentences()
    assert alone.startswith("on 1 node (a): ")  # and counted once


def test_what_a_node_remarks_is_bounded_and_safe_to_print() -> None:
    said = ["\x1b[31m\n" + "x" * 10_000, *(f"{'y' * at}" for at in range(500))]
    found = _noted(a=said)
    told = found.notes.sentences()
    assert len(told) == 50
    assert all(one.isprintable() and len(one) < 1000 for one in told)


def test_what_most_nodes_remark_comes_first_however_much_one_node_does() -> None:
    many = {f"h{at}": [f"{'x' * at}{'y' * i}" for i in range(1, 50)] for at in range(40)}
    for order in ({**many, "a": ["z"], "b": ["z"]}, {"a": ["z"], **many, "b": ["z"]}):
        assert _noted(**order).notes.sentences()[0] == "on 2 nodes (a, b): such as on a: z"
