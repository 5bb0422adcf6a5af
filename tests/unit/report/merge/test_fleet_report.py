"""Documents of many nodes become workloads of the fleet; what is unknown stays so."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.node.node_reports import WATCHED, call, document, fleet, unknown, workload
from runc_wrap.report.merge import fleet_report, node_document
from runc_wrap.report.merge.fleet_report import FleetReport
from runc_wrap.report.merge.kept_defaults import FleetProfiles
from runc_wrap.report.merge.kept_shares import KeptShares

if TYPE_CHECKING:
    import random

    from runc_wrap.report.merge.merged_workload import MergedWorkload

SAFE, DENIED, UNKNOWN = workload(), workload("web", call()), unknown()
DEGRADES = workload("web", call(verdict="degrades", errno="ENOSYS"), verdict="degrades")
DEPENDS = workload("web", call(verdict="depends"), verdict="depends")
QUIET = workload(verdict=None, reason="Already enforced.", modes=["enforce"], watched=0)


def _merged(*documents: Any) -> FleetReport:
    found = FleetReport()
    for at, one in enumerate(documents):
        found.take(one, f"document {at}")
    return found


def _one(*rows: Any) -> MergedWorkload:
    (found,) = _merged(*(document(f"n{at}", row) for at, row in enumerate(rows))).workloads()
    return found


@pytest.mark.parametrize(
    ("rows", "verdict", "is_wrong"),
    [
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
    ],
)
def test_the_worst_node_decides_and_one_that_knows_nothing_keeps_from_safe(
    rows: list[Any], verdict: str | None, is_wrong: bool
) -> None:
    for ordered in (rows, rows[::-1]):
        found = _one(*ordered)
        assert (found.verdict, found.is_wrong) == (verdict, is_wrong)
        assert (found.reason is None) == (verdict is not None)


def test_it_says_how_many_stand_behind_it_and_how_long_each_was_watched() -> None:
    found = _one(SAFE, workload(watched=3600, containers=5), {**SAFE, "restarts": 2})
    assert found.confidence == (
        "Watched briefly: 8 days at most, 1 hour at least (on n1), in 9 containers on 3 nodes."
    )
    shown = found.as_json()
    assert (shown["nodes"], shown["containers"], shown["restarts"]) == (3, 9, 2)
    assert shown["watched"] == WATCHED
    assert shown["watched_least"] == {"seconds": 3600, "node": "n1"}


def test_it_names_the_nodes_on_which_nothing_is_known() -> None:
    found = _one(SAFE, *[UNKNOWN] * 12)
    assert found.reason == (
        "Unknown on 12 of 13 nodes (n1, n2, n3, 9 more): nothing was watching while its "
        "containers ran."
    )
    assert found.as_json()["unknown"]["names"] == [f"n{at}" for at in range(1, 11)]
    assert "; unknown on 1 of 2 nodes (n1)" in _one(DENIED, UNKNOWN).confidence


def test_calls_are_added_up_and_the_worst_outcome_counts() -> None:
    late = call(count=5, programs=["/usr/bin/other"], last="2026-11-19T00:00:00Z")
    early = call(verdict="degrades", errno="ENOSYS", first="2026-11-01T00:00:00Z", count=7)
    found = _one(workload("web", early), workload("web", late), workload("web", call("bpf", 321)))
    (row, other) = found.rows
    assert (row.syscall, row.verdict, row.errno, row.tally.count) == (
        "unshare", "denied", "EPERM", 12,
    )  # fmt: skip
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
    assert (row.has_args, [*row.args]) == (True, [(1, None), (2, None)])
    (row,) = _one(workload("web", known), workload("web", call())).rows
    assert not row.has_args
    many = [workload("web", call(args=[[at]])) for at in range(33)]
    (row,) = _one(*many).rows
    assert not row.has_args


def test_a_name_that_the_kernel_does_not_have_is_not_believed() -> None:
    """A hostile node calls mount read, so that it would be let through by its name."""
    (row,) = _one(workload("web", call("read", 165))).rows
    assert row.syscall == "mount"


def test_nodes_that_did_not_answer_are_named_and_never_safe() -> None:
    found = _merged(document("a", SAFE), node_document.silent("b", "it timed out"))
    assert not found.is_whole
    assert [one.sentence for one in found.silent] == ["b: it timed out"]
    assert found.as_json([])["silent"] == [{"node": "b", "error": "it timed out"}]


def test_an_answer_counts_whether_before_or_after_a_failed_attempt() -> None:
    silent = node_document.silent("a", "it timed out")
    after = _merged(silent, document("a", SAFE))
    assert (after.is_whole, after.answered, after.silent) == (True, 1, [])
    before = _merged(document("a", SAFE), silent)
    assert (before.answered, before.silent, before.refused_count) == (1, [], 1)


def test_a_node_counts_once() -> None:
    found = _merged(document("a", SAFE), document("a", DENIED))
    assert (found.answered, found.refused_count) == (1, 1)
    assert "the node a, which has answered already" in found.refused[0].why
    assert [one.verdict for one in found.workloads()] == ["safe"]


def test_a_refused_document_adds_nothing() -> None:
    bad = document("b", workload("db", call()), workload(containers=-1))
    found = _merged(document("a", SAFE), bad)
    assert [one.name for one in found.workloads()] == ["shop/web/app"]
    assert (found.answered, found.is_whole) == (1, False)
    assert found.refused[0].sentence.startswith('"document 1": has a workload 2 that cannot be')


def test_what_does_not_fit_is_counted_and_makes_nothing_safe() -> None:
    found = FleetReport(room=8 * 9000)
    calls = [call("mount", at) for at in range(20)]
    found.take(document("a", workload("web", *calls, verdict="degrades"), workload("db")), "x")
    (one,) = found.workloads()
    assert found.left_out == 1
    assert not found.is_whole
    assert len(one.calls) < 20
    assert one.verdict == "denied"
    harmless = [call("mount", at, verdict="degrades") for at in range(20)]
    found = FleetReport(room=8 * 9000)
    found.take(document("a", workload("web", *harmless, verdict="degrades")), "x")
    (one,) = found.workloads()
    assert (one.verdict, one.is_wrong) == (None, True)
    assert "more kinds of calls were reported than are kept" in str(one.reason)


def test_the_oldest_report_is_told_with_the_node_that_says_so() -> None:
    old = document("b", generated="1999-01-01T00:00:00Z")
    found = _merged(document("a"), old, document("c"))
    assert (found.oldest, found.oldest_node) == ("1999-01-01T00:00:00Z", "b")
    assert found.as_json([])["oldest_node"] == "b"


def test_one_node_cannot_crowd_out_the_workloads_of_others() -> None:
    """It is named, and what it has beyond its share is left out, though there is room."""
    found = FleetReport(8 * 20_000)  # a share of four workloads
    many = [workload(f"w{at}") for at in range(100)]
    for one in (document("greedy", *many), document("a", workload("web")), document("b")):
        found.take(one, "x")
    assert found.crowding == ["greedy"]
    names = [one.workload.pod for one in found.workloads()]
    assert "web" in names
    assert len(names) == 5
    assert (found.left_out, found.is_whole) == (96, False)


def test_a_call_beyond_a_nodes_share_makes_nothing_safe() -> None:
    found = FleetReport(8 * 9_000)
    calls = [call(str(at), at, verdict="degrades") for at in range(5)]
    found.take(document("a", workload("web", *calls, verdict="degrades")), "x")
    (one,) = found.workloads()
    assert len(one.calls) < 5
    assert one.verdict is None


def _block(name: str) -> dict[str, Any]:
    return {"block_digest": f"{hash(name) % 10**9:064d}", "block": {"defaultAction": name}}


@pytest.mark.parametrize("is_first", [True, False])
def test_one_node_cannot_crowd_out_the_profiles_of_others(is_first: bool) -> None:
    greedy = document("g", *(workload(f"g{at}", **_block(f"g{at}")) for at in range(300)))
    others = [document(f"n{at}", workload(f"n{at}", **_block(f"n{at}"))) for at in range(40)]
    found = _merged(*([greedy, *others] if is_first else [*others, greedy]))
    kept = {json.loads(one)["defaultAction"] for one in found.blocks.values()}
    assert {f"n{at}" for at in range(40)} <= kept
    assert len(kept) == 256


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sets(st.integers(0, 9))), max_size=12))
def test_profiles_are_kept_in_bounded_number_and_each_sender_has_its_share(
    sent: list[tuple[str, set[int]]],
) -> None:
    """A node whose profiles nobody else sends keeps the third that is its share, among three."""
    kept: KeptShares[bytes] = KeptShares(6)
    by_node: dict[str, set[str]] = {}
    for at, (node, numbers) in enumerate(sent):
        name = f"{node}{at}"  # each sends once
        own = {f"{name}.{number}": b"" for number in numbers}
        by_node[name] = {*own}
        kept.add(name, own)
        assert len(kept.kept) <= 6
    share = 6 // max(len([one for one in by_node.values() if one]), 1)
    for sender in by_node.values():
        assert len(sender & {*kept.kept}) >= min(len(sender), share)


@given(
    st.lists(st.sets(st.integers(0, 9)), max_size=8),
    st.lists(st.sets(st.integers(0, 4), min_size=1), max_size=4),
    st.randoms(use_true_random=False),
)
def test_nodes_that_send_the_same_do_not_take_the_share_of_others(
    greedy: list[set[int]], honest: list[set[int]], order: random.Random
) -> None:
    """However many of them there are: they have one another's profiles, and nobody else's."""
    kept: KeptShares[bytes] = KeptShares(6)
    sent = [{f"greedy.{number}" for number in one} for one in greedy]
    own = [{f"n{at}.{number}" for number in one} for at, one in enumerate(honest)]
    every = [*sent, *own]
    order.shuffle(every)
    for at, one in enumerate(every):
        kept.add(f"node {at}", dict.fromkeys(sorted(one), b""))
        assert len(kept.kept) <= 6
    share = 6 // max(len([one for one in every if one]), 1)
    for one in own:
        assert len(one & {*kept.kept}) >= min(len(one), share)


def test_two_nodes_that_send_the_same_do_not_keep_everybody_else_out() -> None:
    kept: KeptShares[bytes] = KeptShares(4)
    for node in "ab":
        kept.add(node, {"1": b"", "2": b"", "3": b"", "4": b""})
    kept.add("c", {"4": b"", "5": b"", "6": b"", "7": b""})
    assert {*kept.kept} == {"1", "4", "5", "6"}  # what c has sent too stays


def test_a_profile_that_several_sent_stays() -> None:
    kept: KeptShares[bytes] = KeptShares(3)
    kept.add("a", {"1": b"", "2": b"", "3": b""})
    kept.add("b", {"3": b""})
    kept.add("c", {"4": b""})
    assert {*kept.kept} == {"1", "3", "4"}


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


def test_memory_grows_with_workloads_and_not_with_nodes() -> None:
    def taken(nodes: int) -> int:
        found = FleetReport()
        stream = io.BytesIO(b"".join(fleet(nodes, 20)))
        tracemalloc.start()
        try:
            found.read(stream.read, "x")
            assert found.answered == nodes
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    few, many = taken(50), taken(250)
    assert many < few + 200 * 1000  # a node's name, and its place in a set


def test_a_fleet_is_read_whole() -> None:
    found = FleetReport()
    data = b"".join(fleet(60, 20))
    found.read(io.BytesIO(data).read, "x")
    assert (found.answered, found.is_whole) == (60, True)
    assert sum(one.nodes for one in found.workloads()) == 60 * 20
    assert json.loads(json.dumps(found.as_json([])))["nodes"] == 60


def test_there_is_a_most_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_report, "MOST_NODES", 2)
    found = _merged(*(document(name, SAFE) for name in "abc"))
    assert (found.answered, found.refused_count) == (2, 1)


def _keeping(node: str, number: int, *, adopts: bool = False, name: str = "containerd@2.1") -> Any:
    return document(node, kept={"adopts": adopts, "profiles": {name: number}})


def test_containers_that_keep_their_engines_default_are_added_up_apart_by_adoption() -> None:
    old = document("old")
    del old["kept"]
    found = _merged(
        _keeping("a", 3), _keeping("b", 4, name="cri-o@1.34"), _keeping("c", 1, adopts=True),
        document("d"), old, document("null", kept=None),
    )  # fmt: skip
    assert found.refused == []
    assert found.as_json([])["kept"] == [
        {"adopts": False, "nodes": 2, "containers": 7,
         "profiles": {"containerd@2.1": 3, "cri-o@1.34": 4}},
        {"adopts": True, "nodes": 1, "containers": 1, "profiles": {"containerd@2.1": 1}},
    ]  # fmt: skip
    assert found.kept.sentences() == [
        (
            "7 containers on 2 nodes keep their engine's default profile (cri-o@1.34, "
            'containerd@2.1): no rule, mode or opt-out reaches them; adopt = "runtime-default" does'
        ),
        (
            "1 container on 1 node keeps its engine's default profile (containerd@2.1): the policy "
            "decides about those that start from now on"
        ),
    ]


def test_names_of_kept_profiles_are_bounded_and_safe_to_print() -> None:
    found = _merged(*(_keeping(f"n{at}", 1, name=f"\x1b[31m{at}") for at in range(100)))
    (row,) = found.as_json([])["kept"]
    assert (row["containers"], row["nodes"], len(row["profiles"])) == (100, 100, 65)
    assert row["profiles"]["others"] == 36
    (told,) = found.kept.sentences()
    assert "\x1b" not in told
    assert "others" in told


def test_a_few_nodes_do_not_hide_which_profiles_most_nodes_keep() -> None:
    hostile = [
        document(
            f"h{at}", kept={"adopts": False, "profiles": {f"{at}.{i}": 600 for i in range(16)}}
        )
        for at in range(4)
    ]
    found = _merged(*hostile, *(_keeping(f"n{at}", 3) for at in range(5)))
    (row,) = found.as_json([])["kept"]
    assert (row["containers"], row["nodes"]) == (4 * 16 * 600 + 15, 9)
    assert row["profiles"]["containerd@2.1"] == 15
    assert sum(row["profiles"].values()) == row["containers"]
    (told,) = found.kept.sentences()
    assert "profile (containerd@2.1, " in told


def test_a_node_that_names_many_profiles_counts_no_more_than_one_that_names_few() -> None:
    many = [
        document(f"h{at}", kept={"adopts": False, "profiles": {f"x{i}": 9 for i in range(16)}})
        for at in range(3)
    ]
    found = _merged(*many, _keeping("n", 1))
    assert "(containerd@2.1, " in found.kept.sentences()[0]


def test_profiles_are_counted_in_bounded_number_and_what_many_nodes_keep_stays() -> None:
    kept = FleetProfiles()
    for at in range(400):
        kept.add({f"{at}.{i}": 2 for i in range(16)})
        if at % 10 == 0:
            kept.add({"containerd@2.1": 1, "cri-o@1.34": 0})
        assert len(kept.containers) <= 1024
    found = kept.as_json()
    assert (found["containerd@2.1"], len(found)) == (40, 65)
    assert sum(found.values()) == kept.total == 400 * 32 + 40


@pytest.mark.parametrize("profiles", [{"a": 10_001}, {"a": 10_000, "b": 1}])
def test_more_containers_than_a_node_runs_are_refused(profiles: dict[str, int]) -> None:
    found = _merged(document("a", kept={"adopts": False, "profiles": profiles}))
    (refused,) = found.refused
    assert "kept counts 10001 containers, more than the 10000 that a" in refused.sentence


def test_a_stream_without_any_document_is_refused() -> None:
    found = FleetReport()
    found.read(io.BytesIO(b" \n\n").read, "a.json")
    assert not found.is_whole
    assert [one.sentence for one in found.refused] == [
        "a.json: has no document; collect the report again"
    ]
