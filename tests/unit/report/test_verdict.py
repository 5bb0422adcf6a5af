from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap import time_text
from runc_wrap.evidence.sightings import AUDIT, OBSERVE, UNMADE, LossSpan
from runc_wrap.evidence.store import evidence_memory
from runc_wrap.evidence.store.call_counts import EITHER, RUNTIME, Tallies
from runc_wrap.evidence.store.evidence_memory import Evidence, file_name
from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.ledger import whole_ledger
from runc_wrap.report.verdict import Judging
from tests.unit.evidence import samples
from tests.unit.evidence.samples import (
    CLONE,
    CLONE3,
    GETPID,
    MOUNT,
    UNSHARE,
    line,
    observed,
    sighting,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.ledger.decision_record import Record
    from runc_wrap.report.outcomes import Filter

KEY = ("/run/test", "c1")
BEGIN = time_text.epoch("2026-11-18T00:00:00Z") or 0.0
NEW = 4000  # a call newer than the profile: runc's stub answers it
KCMP = 312
INTO_CGROUP, PIDFD_AND_TID = 0x200000000, 0x101000
SPAWN = 0x100004100  # glibc's posix_spawn
WEEK, HOUR, MINUTE = 7 * 86400.0, 3600.0, 60.0


@pytest.fixture(scope="module")
def profile() -> Filter:
    return samples.enforced()


class Case:
    def __init__(self, profile: Filter | str) -> None:
        self.profile_of: Callable[[Record], Filter | str] = lambda _: profile
        self.evidence = Evidence()
        self.lines: list[dict[str, Any]] = []
        self.there: set[tuple[str, str]] = set()
        self.now = BEGIN + WEEK
        self.age = inf
        self.capabilities: set[str] | None = None

    def container(self, name: str = "c1", **changes: Any) -> None:
        self.lines.append(line(name, **changes))
        self.there.add(("/run/test", name))

    def judge(self, since: float = 0.0) -> list[dict[str, Any]]:
        starts: dict[Any, Any] = {}
        records = {}
        for one in self.lines:
            key = (one["root"], one["id"])
            records[key] = ledger_record.of(one)
            first, often = starts.get(key, (one["time"], 0))
            starts[key] = (first, often + 1)
        decided = whole_ledger.Ledger(records, 0, starts)
        is_there = self.there.__contains__
        judging = Judging(
            self.profile_of,
            is_there,
            self.now,
            since,
            age=lambda _: self.age,
            bounding_of=lambda _: self.capabilities,
        )
        return [one.as_json() for one in judging.judge(decided, self.evidence)]

    def one(self) -> dict[str, Any]:
        (found,) = self.judge()
        return found


@pytest.fixture
def case(profile: Filter) -> Case:
    made = Case(profile)
    made.evidence.add_watched(AUDIT, BEGIN, BEGIN + WEEK)
    return made


def test_a_running_container_was_not_watched_for_longer_than_it_has_run(case: Case) -> None:
    """A log knows the time of day only, and the clock was set forward by a week."""
    case.container()
    assert case.one()["watched"] == WEEK
    case.age = 480.0
    assert case.one()["watched"] == 480
    assert "Hardly watched: 8 minutes" in case.one()["confidence"]


@pytest.mark.parametrize(
    ("calls", "verdict"),
    [
        ([], "safe"),
        ([CLONE3], "safe"),
        ([CLONE3, NEW], "degrades"),
        ([CLONE3, NEW, CLONE], "depends"),
        ([CLONE3, CLONE, UNSHARE], "denied"),
        ([GETPID], "safe"),  # of another filter: ours lets it through
    ],
)
def test_the_worst_call_decides(case: Case, calls: list[int], verdict: str) -> None:
    case.container()
    for number in calls:
        case.evidence.add(KEY, sighting(number, time=BEGIN + 5))
    found = case.one()
    assert found["verdict"] == verdict
    assert len(found["calls"]) == len([one for one in calls if one != GETPID])


@pytest.mark.parametrize(
    ("flags", "verdict", "outcome"),
    [
        (0x3D0F00, "safe", "ENOSYS"),  # a thread
        (samples.NEWUSER, "denied", "EPERM by way of clone"),
        (0x4000 | 0x20000, "denied", "EPERM by way of clone"),
        (0x80, "denied", "ENOSYS, and clone has no CLONE_NEWTIME"),
        (SPAWN, "safe", "ENOSYS"),
        (SPAWN | INTO_CGROUP, "degrades", "ENOSYS, and clone has no CLONE_INTO_CGROUP"),
        (INTO_CGROUP | samples.NEWUSER, "denied", "EPERM by way of clone"),
        (1 << 32, "degrades", "ENOSYS, and clone has no CLONE_CLEAR_SIGHAND"),
        (1 << 34, "degrades", "ENOSYS, and clone has no 0x400000000"),  # a kernel's to come
        (0x1000, "safe", "ENOSYS"),  # CLONE_PIDFD alone
        (PIDFD_AND_TID, "degrades", "ENOSYS, and clone has no CLONE_PIDFD|CLONE_PARENT_SETTID"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_clone3_is_no_denial_if_clone_replaces_it(
    case: Case, flags: int, verdict: str, outcome: str, *, is_first: bool
) -> None:
    case.container(mode="observe")
    case.evidence.add_watched(OBSERVE, BEGIN, BEGIN + WEEK)
    for one in (flags, 0x3D0F00) if is_first else (0x3D0F00, flags):
        case.evidence.add(KEY, observed(CLONE3, one, time=BEGIN + 5))
    found = case.one()
    assert found["verdict"] == verdict
    assert found["calls"][0]["outcome"] == outcome
    assert found["calls"][0]["expected"] is (verdict == "safe")


@pytest.mark.parametrize(("unmade", "verdict"), [(UNMADE, "safe"), (0, None)])
def test_a_clone3_without_flags_hides_nothing_of_the_others(
    case: Case, unmade: int, verdict: str | None
) -> None:
    case.container(mode="observe")
    case.evidence.add_watched(OBSERVE, BEGIN, BEGIN + WEEK)
    for _ in range(488):
        case.evidence.add(KEY, observed(CLONE3, 0x3D0F00, time=BEGIN + 5))
    unknown = observed(CLONE3, args=None, code=samples.NOTIFY | unmade, time=BEGIN + 5)
    case.evidence.add(KEY, unknown)
    found = case.one()
    (call,) = found["calls"]
    assert (found["verdict"], call["verdict"], call["count"]) == (verdict, "degrades", 489)
    assert (call["args"], len(call["arguments"])) == (None, 1)
    if unmade:
        assert found["confidence"].endswith(
            "; what 1 of 489 calls of clone3 was to do is unknown, as its caller was killed or "
            "interrupted."
        )
    else:
        assert found["reason"] == (
            "Unknown: the flags of 1 of 489 calls of clone3 could not be read, and with those for "
            "new namespaces clone is denied too."
        )
    case.evidence.add(KEY, observed(CLONE3, samples.NEWUSER, time=BEGIN + 5))
    assert case.one()["verdict"] == "denied"


def test_in_audit_whether_clone_can_do_it_is_not_known(case: Case) -> None:
    case.container()
    no_namespaces = (0, *[None] * 5)  # evidence.attribution.child_namespaces
    case.evidence.add(KEY, sighting(CLONE3, args=no_namespaces, time=BEGIN + 5))
    found = case.one()
    limit = "whether clone3 was to do what clone cannot is unknown (observe shows it)."
    assert found["verdict"] == "safe"
    assert found["confidence"] == f"Well watched: 7 days in 1 container; {limit}"


def test_without_flags_clone3_is_safe_with_a_reservation(case: Case) -> None:
    case.container()
    case.evidence.add(KEY, sighting(CLONE3, time=BEGIN + 5))
    found = case.one()
    assert found["verdict"] == "safe"
    limit = (
        "whether clone3 was to make namespaces, or do what else clone cannot, is unknown (observe "
        "shows it)."
    )
    assert found["confidence"] == f"Well watched: 7 days in 1 container; {limit}"
    assert found["calls"][0]["outcome"] == (
        "ENOSYS; C libraries then use clone, which is let through for threads and processes, "
        "not for new namespaces"
    )


@pytest.mark.parametrize(("kinds", "are_known"), [(32, True), (33, False)])
def test_arguments_are_shown_completely_or_not_at_all(
    case: Case, kinds: int, are_known: bool
) -> None:
    for container in range(2):  # each keeps 32 by itself
        case.container(f"c{container}", mode="observe", image="web")
        for flags in range(kinds)[container::2]:
            key = ("/run/test", f"c{container}")
            case.evidence.add(key, observed(CLONE, samples.NEWUSER | flags, time=BEGIN + 5))
    (call,) = next(one for one in case.judge() if one["image"] == "web")["calls"]
    assert (len(call["args"]) == kinds) if are_known else (call["args"] is None)


def test_a_call_shows_its_name_count_programs_and_times(case: Case) -> None:
    case.container()
    for place, exe in enumerate(["/usr/bin/a", "/usr/bin/b", "/usr/bin/b", ""]):
        case.evidence.add(KEY, sighting(exe=exe, time=BEGIN + place))
    (call,) = case.one()["calls"]
    assert call == {
        "abi": "x86_64",
        "syscall": "unshare",
        "number": UNSHARE,
        "arch": 0xC000003E,
        "verdict": "denied",
        "errno": "EPERM",
        "outcome": "EPERM",
        "args": None,
        "arguments": None,
        "expected": False,
        "count": 4,
        "programs": ["/usr/bin/b", "/usr/bin/a", "unshare"],
        "first": "2026-11-18T00:00:00Z",
        "last": "2026-11-18T00:00:03Z",
    }


@pytest.mark.parametrize(
    ("capabilities", "calls", "why"),
    [
        ({"CAP_SYS_ADMIN"}, [], "It has CAP_SYS_ADMIN: "),
        ({"CAP_SYS_PTRACE"}, [sighting(MOUNT, exe="/usr/sbin/criu")], "It runs criu and has "),
        ({"CAP_SYS_PTRACE"}, [sighting(MOUNT)], None),
        (set(), [sighting(KCMP)], "It calls kcmp: "),
        (None, [], None),  # the bundle is gone
    ],
)
def test_what_no_mode_shows_stands_beside_the_verdict(
    case: Case, capabilities: set[str] | None, calls: list[Any], why: str | None
) -> None:
    case.container()
    case.capabilities = capabilities
    for one in calls:
        case.evidence.add(KEY, one._replace(time=BEGIN + 5))
    assert (f" 1 container. {why}" in case.one()["confidence"]) is bool(why)
    assert ("Neither audit nor observe shows it." in case.one()["confidence"]) is bool(why)


@pytest.mark.parametrize(
    ("watched", "confidence"),
    [
        (WEEK, "Well watched: 7 days in 1 container."),
        (2 * 86400, "Watched fairly long: 2 days in 1 container."),
        (2 * HOUR, "Watched briefly: 2 hours in 1 container."),
        (MINUTE, "Hardly watched: 1 minute in 1 container."),
    ],
)
def test_safe_after_a_minute_reads_differently_than_after_a_week(
    profile: Filter, watched: float, confidence: str
) -> None:
    case = Case(profile)
    case.container()
    case.evidence.add_watched(AUDIT, BEGIN, BEGIN + watched)
    found = case.one()
    assert (found["verdict"], found["confidence"]) == ("safe", confidence)
    assert found["watched"] == watched


def test_unwatched_workloads_are_not_safe(profile: Filter) -> None:
    case = Case(profile)
    case.container()
    case.evidence.add_watched(AUDIT, BEGIN - 500, BEGIN - 100)
    case.evidence.add_watched("processes", BEGIN, BEGIN + WEEK)
    case.evidence.add_watched(OBSERVE, BEGIN, BEGIN + WEEK)
    found = case.one()
    assert found["verdict"] is None
    assert found["reason"] == "Unknown: nothing was watching while its containers ran."


def test_an_observed_container_is_watched_only_by_its_listener(case: Case) -> None:
    case.container(mode="observe")
    assert (case.one()["verdict"], case.one()["watched"]) == (None, 0)
    case.evidence.add_watched(OBSERVE, BEGIN, BEGIN + HOUR)
    assert (case.one()["verdict"], case.one()["watched"]) == ("safe", HOUR)


def test_a_deleted_container_was_watched_until_its_known_end(case: Case) -> None:
    case.container()
    case.there.clear()
    assert case.one()["verdict"] is None
    case.evidence.add(KEY, sighting(CLONE3, time=BEGIN + 60))
    assert case.one()["watched"] == 60
    case.evidence.containers[KEY].ended = BEGIN + 300
    assert case.one()["watched"] == 300


@pytest.mark.parametrize(
    ("call", "verdict"), [(None, None), (NEW, None), (CLONE, "depends"), (UNSHARE, "denied")]
)
def test_a_workload_with_damaged_evidence_is_not_safe(
    case: Case, call: int | None, verdict: str | None
) -> None:
    case.container()
    case.evidence.add_damaged(file_name(("/run/test", "another")))
    assert case.one()["verdict"] == "safe"
    if call is not None:
        case.evidence.add(KEY, sighting(call, time=BEGIN + 5))
    case.evidence.add_damaged(file_name(KEY) + ".damaged")
    found = case.one()
    assert found["verdict"] == verdict
    assert found["reason"] == (None if verdict else "Unknown: its evidence is damaged.")


@pytest.mark.parametrize(
    ("call", "verdict"), [(None, None), (NEW, None), (CLONE, "depends"), (UNSHARE, "denied")]
)
def test_a_workload_with_more_kinds_of_calls_than_are_kept_is_not_safe(
    case: Case, call: int | None, verdict: str | None
) -> None:
    case.container()
    if call is not None:
        case.evidence.add(KEY, sighting(call, time=BEGIN + 5))
    case.evidence.add(KEY, sighting(GETPID, time=BEGIN + 5))
    case.evidence.containers[KEY].dropped = 3
    found = case.one()
    crowded = "Unknown: it made more kinds of calls than are kept."
    assert (found["verdict"], found["reason"]) == (verdict, None if verdict else crowded)
    assert found["confidence"] == (
        "Watched fairly long: 7 days in 1 container; 3 calls beyond the kinds that are kept."
    )


CLEARED = "Unknown: its evidence was cleared."
AUDITED = "Unknown: nothing was watching while its containers ran."


@pytest.mark.parametrize(
    ("there", "starts", "cleared", "told"),
    [
        (False, 2, BEGIN + 2 * HOUR, (None, CLEARED, 0)),
        (False, 2, BEGIN - 1, (None, AUDITED, 0)),
        (False, 1, BEGIN - 1, (None, AUDITED, 0)),
        (True, 1, BEGIN + HOUR, ("safe", None, WEEK)),  # what runs keeps its file: it has none
        (True, 2, BEGIN + HOUR, ("safe", None, WEEK - HOUR)),
        (True, 2, BEGIN + 2 * HOUR, ("safe", None, WEEK - 2 * HOUR)),
    ],
)
def test_a_cleared_time_was_not_watched(
    case: Case, there: bool, starts: int, cleared: float, told: tuple[str | None, str | None, float]
) -> None:
    for time in ("2026-11-18T00:00:00Z", "2026-11-18T01:00:00Z")[:starts]:
        case.container(time=time)
    if not there:
        case.there.clear()
    case.evidence.cleared_until = cleared
    found = case.one()
    assert (found["verdict"], found["reason"], found["watched"]) == told


def test_the_running_time_between_two_starts_is_unknown(case: Case) -> None:
    case.container()
    case.container(time="2026-11-24T23:59:00Z")
    found = case.one()
    assert (found["watched"], found["restarts"]) == (MINUTE, 1)
    assert found["confidence"] == "Hardly watched: 1 minute in 1 container with 1 restart."
    assert found["since"] == "2026-11-18T00:00:00Z"


def test_containers_that_ended_before_watching_give_no_confidence(case: Case) -> None:
    case.container("c0", image="web")
    for number in range(1, 50):
        case.container(f"c{number}", image="web", time="2026-11-10T00:00:00Z")
        case.there.discard(("/run/test", f"c{number}"))
    found = case.one()
    assert found["confidence"] == "Well watched: 7 days in 1 container."
    assert found["containers"] == 50


def test_a_container_was_watched_up_to_its_last_stored_call(case: Case) -> None:
    case.container()
    case.there.clear()
    case.evidence.cleared_until = BEGIN + HOUR
    seen = Evidence()
    seen.add(KEY, sighting(CLONE3, time=BEGIN + MINUTE))
    case.evidence.add_stored(KEY, seen.containers[KEY])
    assert (case.one()["verdict"], case.one()["watched"]) == ("safe", MINUTE)


def test_an_enforced_workload_has_no_evidence(case: Case) -> None:
    case.container(mode="enforce")
    found = case.one()
    assert (found["verdict"], found["calls"]) == (None, [])
    assert found["reason"] is not None
    assert found["reason"].startswith("Already enforced")


def test_enforce_log_shows_current_denials(case: Case) -> None:
    case.container(mode="enforce-log")
    case.evidence.add(KEY, sighting(code=samples.ERRNO))
    case.evidence.add(KEY, sighting(samples.MOUNT, code=samples.KILL, serial=9))  # another filter's
    assert [(one["syscall"], one["errno"]) for one in case.one()["calls"]] == [("unshare", "EPERM")]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("lost", "; meanwhile 3 records lost."),
        ("at least", "; meanwhile at least 3 records lost."),
        ("stray", "; meanwhile 1 call of no known container."),
    ],
)
def test_doubts_lower_the_confidence_and_are_named(case: Case, kind: str, words: str) -> None:
    case.container()
    if kind == "lost":
        case.evidence.add_lost(LossSpan(BEGIN + 9, 3, AUDIT, "too fast"))
    elif kind == "at least":
        case.evidence.add_lost(LossSpan(BEGIN + 9, 2, AUDIT, "dropped by the kernel"))
        case.evidence.add_lost(
            LossSpan(BEGIN + 9, 1, AUDIT, "at least one record: journalctl hung")
        )
    else:
        case.evidence.add(None, sighting(time=BEGIN + 9))
    found = case.one()
    assert found["confidence"] == f"Watched fairly long: 7 days in 1 container{words}"
    assert found["lost"] == (0 if kind == "stray" else 3)
    assert found["lost_at_least"] is (kind == "at least")


@pytest.mark.parametrize(
    ("mode", "source", "lost"),
    [
        ("audit", "processes", 1),
        ("audit", OBSERVE, 0),
        (OBSERVE, "processes", 0),
        (OBSERVE, OBSERVE, 1),
    ],
)
def test_only_losses_of_a_containers_own_source_are_a_doubt(
    case: Case, mode: str, source: str, lost: int
) -> None:
    """In observe the call itself identifies its container."""
    case.container(mode=mode)
    case.evidence.add_lost(LossSpan(BEGIN + 9, 1, source, "too fast"))
    assert case.one()["lost"] == lost


TIMES = {"before": (-9, -3), "begins in it": (-9, 2), "all of it": (-9, WEEK), "inside": (30, 40)}


@pytest.mark.parametrize(("name", "is_lost"), [(n, n != "before") for n in TIMES])
@pytest.mark.parametrize(
    ("calls", "verdict"), [([], None), ([CLONE3, NEW], None), ([CLONE], "depends"),
                           ([UNSHARE], "denied")]
)  # fmt: skip
def test_a_workload_that_ran_during_a_loss_is_not_safe(
    case: Case, name: str, calls: list[int], verdict: str | None, *, is_lost: bool
) -> None:
    case.container()
    for number in calls:
        case.evidence.add(KEY, sighting(number, time=BEGIN + 5))
    begin, end = (BEGIN + each for each in TIMES[name])
    assert (before := case.one()["verdict"]) is not None
    case.evidence.add_lost(LossSpan(end, 812331, AUDIT, "too fast", begin))
    found = case.one()
    assert found["verdict"] == (verdict if is_lost else before)
    sentence = "Unknown: 812331 records were lost while its containers ran (between 2026-11-1"
    assert (found["reason"] or "").startswith(sentence) == (is_lost and verdict is None)


@pytest.mark.parametrize(
    ("why", "amount"),
    [("too fast", "3 records were"), ("at least 3", "at least 3 records were"),
     ("at most so many", "at most 3 records were")],
)  # fmt: skip
def test_an_inexact_number_is_reported_as_such(case: Case, why: str, amount: str) -> None:
    case.container()
    case.evidence.add_lost(LossSpan(BEGIN + 9, 3, AUDIT, why))
    assert case.one()["reason"].startswith(f"Unknown: {amount} lost")


@pytest.mark.parametrize(
    ("ended", "next_life", "is_lost"),
    [(None, 60, True), (None, None, False), (20, 60, False), (None, 25, False)],
)
def test_a_container_whose_end_was_not_seen_may_have_run_until_the_next_check(
    case: Case, ended: float | None, next_life: float | None, *, is_lost: bool
) -> None:
    case.evidence.watched = {}
    case.evidence.add_watched(AUDIT, BEGIN - 9, BEGIN + 15)
    case.container()
    case.there.clear()
    if ended:
        case.evidence.containers[KEY] = Tallies()
        case.evidence.containers[KEY].ended = BEGIN + ended
    if next_life:
        case.evidence.add_watched(AUDIT, BEGIN + next_life, BEGIN + WEEK)
    case.evidence.add_lost(LossSpan(BEGIN + 40, 3, AUDIT, "too fast", BEGIN + 30))
    assert bool(case.one()["lost"]) == is_lost


def test_a_loss_before_the_requested_time_is_no_doubt(case: Case) -> None:
    case.container()
    case.evidence.add_lost(LossSpan(BEGIN + 9, 3, AUDIT, "too fast"))
    assert [one["lost"] for one in case.judge(since=BEGIN + 50)] == [0]


def test_containers_and_restarts_of_one_workload_are_grouped(case: Case) -> None:
    names = {"namespace": "shop", "container": "app", "image": "web:1"}
    for name in ("c1", "c2", "c2"):
        case.container(name, pod="web-7d9c8b5f6-x2k4p", **names)
    case.container("c3", pod="db-0", **names)
    case.evidence.add(KEY, sighting(time=BEGIN + 1))
    case.evidence.add(("/run/test", "c2"), sighting(time=BEGIN + 2))
    web, db = case.judge()
    assert (web["pod"], web["containers"], web["restarts"]) == ("web", 2, 1)
    assert (web["verdict"], web["calls"][0]["count"]) == ("denied", 2)
    assert (db["pod"], db["verdict"]) == ("db", "safe")


@pytest.mark.parametrize("changes", [{"action": "leave"}, {"action": "keep"}, {"mode": "off"}])
def test_containers_that_we_do_not_confine_are_not_in_the_report(
    case: Case, changes: dict[str, Any]
) -> None:
    case.container(**changes)
    assert case.judge() == []


def test_with_an_unknown_profile_calls_are_shown_without_a_verdict() -> None:
    case = Case("the profile is not there any more.")
    case.evidence.add_watched(AUDIT, BEGIN, BEGIN + WEEK)
    case.container()
    case.evidence.add(KEY, sighting())
    found = case.one()
    assert (found["verdict"], found["reason"]) == (
        None,
        "Unknown: the profile is not there any more.",
    )
    assert [(one["syscall"], one["verdict"]) for one in found["calls"]] == [("unshare", None)]


@pytest.mark.parametrize(("call", "verdict"), [(NEW, None), (CLONE, "depends")])
def test_a_degrading_call_does_not_hide_another_containers_unknown_profile(
    case: Case, profile: Filter, call: int, verdict: str | None
) -> None:
    gone = "the profile is not there any more."
    case.profile_of = lambda record: gone if record.profile == "localhost/gone.json" else profile
    case.container("c1", image="web")
    case.container("c2", image="web", profile="localhost/gone.json")
    case.evidence.add(KEY, sighting(call, time=BEGIN + 5))
    case.evidence.add(("/run/test", "c2"), sighting(UNSHARE, time=BEGIN + 5))
    found = case.one()
    assert (found["verdict"], found["reason"]) == (verdict, None if verdict else f"Unknown: {gone}")


def test_since_leaves_out_earlier_calls(case: Case) -> None:
    case.container()
    case.evidence.add(KEY, sighting(time=BEGIN + 60))
    (found,) = case.judge(since=BEGIN + WEEK - HOUR)
    assert (found["verdict"], found["watched"], found["calls"]) == ("safe", HOUR, [])


def test_the_order_is_by_consequence_then_running_first(case: Case) -> None:
    calls = {"a-safe": None, "b-new": NEW, "c-clone": CLONE, "d-past": UNSHARE, "e-now": UNSHARE}
    for name, number in calls.items():
        case.container(name, container=name)
        if number is not None:
            case.evidence.add(("/run/test", name), sighting(number, time=BEGIN + 5))
    case.there.discard(("/run/test", "d-past"))
    case.container("f-enforced", container="f-enforced", mode="enforce")
    case.container("g-gone", container="g-gone")
    case.evidence.add_damaged(file_name(("/run/test", "g-gone")))
    names = [one["name"] for one in case.judge()]
    assert names == "e-now d-past c-clone g-gone b-new a-safe f-enforced".split()


@pytest.mark.parametrize(
    ("mode", "seen", "is_calm"),
    [
        ("enforce", None, True),
        ("enforce-log", None, True),
        ("enforce-log", CLONE3, True),
        ("enforce-log", UNSHARE, False),
        ("audit", None, False),
    ],
)
def test_a_workload_is_calm_if_it_is_enforced_and_was_denied_nothing(
    case: Case, mode: str, seen: int | None, *, is_calm: bool
) -> None:
    case.container(mode=mode)
    if seen is not None:
        case.evidence.add(KEY, sighting(seen, time=BEGIN + 5))
    assert case.one()["calm"] is is_calm


def test_a_pods_sandbox_is_not_a_workload_unless_it_made_calls(case: Case) -> None:
    case.container("pause", namespace="shop", pod="web-0", mode="enforce")
    case.container("app", namespace="shop", pod="web-0", container="app")
    assert [one["name"] for one in case.judge()] == ["shop/web/app"]
    case.evidence.add(("/run/test", "pause"), sighting(UNSHARE, time=BEGIN + 5))
    assert {one["name"] for one in case.judge()} == {"shop/web/app", "shop/web"}


def test_a_container_of_selftest_is_not_a_workload_unless_it_made_calls(case: Case) -> None:
    """Nothing can watch it, so an installation would leave an unknown workload on each node."""
    case.container("runc-wrap-selftest")
    case.container("app")
    assert [one["name"] for one in case.judge()] == ["app"]
    case.evidence.add(("/run/test", "runc-wrap-selftest"), sighting(UNSHARE, time=BEGIN + 5))
    assert {one["name"] for one in case.judge()} == {"app", "runc-wrap-selftest"}


def test_numbers_without_a_name_are_shown_as_numbers(case: Case) -> None:
    case.container()
    case.evidence.add(KEY, sighting(5000))
    case.evidence.add(KEY, sighting(7, arch=0x1234, serial=8))
    assert {(one["abi"], one["syscall"]) for one in case.one()["calls"]} == {
        ("x86_64", "#5000"),
        ("0x1234", "#7"),
    }


def test_the_runtimes_own_calls_are_shown_and_affect_no_verdict(case: Case) -> None:
    case.container()
    of = case.evidence.containers.setdefault(KEY, Tallies())
    evidence_memory.count(of, sighting(UNSHARE, exe="/usr/sbin/runc"), made_by=RUNTIME)
    found = case.one()
    assert (found["verdict"], found["calls"]) == ("safe", [])
    ((name, outcome),) = [(one["syscall"], one["outcome"]) for one in found["runtime_calls"]]
    assert (name, outcome) == ("unshare", "EPERM")
    evidence_memory.count(of, sighting(UNSHARE))
    assert case.one()["verdict"] == "denied"


@pytest.mark.parametrize(("number", "name"), [(UNSHARE, "unshare"), (317, "seccomp")])
def test_a_call_that_the_runtime_or_the_program_made_leaves_a_workload_unknown(
    case: Case, number: int, name: str
) -> None:
    case.container()
    of = case.evidence.containers.setdefault(KEY, Tallies())
    evidence_memory.count(of, sighting(GETPID, exe="/runc"), made_by=EITHER)  # it would be allowed
    assert case.one()["verdict"] == "safe"
    evidence_memory.count(of, sighting(number, exe="/runc"), made_by=EITHER)
    found = case.one()
    assert (found["verdict"], found["calls"]) == (None, [])
    assert found["reason"].startswith(f"Unknown: 1 call ({name}) came as its program started")
