from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from harness.node import node_reports
from runc_wrap import time_text
from runc_wrap.evidence.sightings import AUDIT, OBSERVE, UNMADE, LossSpan
from runc_wrap.evidence.store import evidence_memory
from runc_wrap.evidence.store.call_counts import EITHER, ELSEWHERE, PROGRAM, RUNTIME, Tallies
from runc_wrap.evidence.store.evidence_memory import Evidence, file_name
from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.report.call_outcomes import Filter
from runc_wrap.report.merge.merged_workload import MergedWorkload
from runc_wrap.report.verdict import Judging
from tests.unit.evidence import samples
from tests.unit.evidence.samples import CLONE, CLONE3, GETPID, MOUNT, UNSHARE, observed, sighting

KEY = ("/run/test", "c1")
BEGIN = time_text.epoch("2026-11-18T00:00:00Z") or 0.0
NEW = 4000  # a call newer than the profile: runc's stub answers it
KCMP, SECCOMP = 312, 317
INTO_CGROUP, PIDFD_AND_TID = 0x200000000, 0x101000
SPAWN = 0x100004100  # glibc's posix_spawn
WEEK, HOUR, MINUTE = 7 * 86400.0, 3600.0, 60.0


@pytest.fixture(scope="module")
def profile() -> Filter:
    return samples.enforced()


class Case:
    def __init__(self, profile: Filter | str) -> None:
        self.profile_of: Callable[[ledger_record.Record], Filter | str] = lambda _: profile
        self.evidence = Evidence()
        self.lines: list[dict[str, Any]] = []
        self.there: set[tuple[str, str]] = set()
        self.now = BEGIN + WEEK
        self.age = inf
        self.capabilities: set[str] | None = None
        self.carries: dict[Any, Any] = {}

    def container(self, name: str = "c1", **changes: Any) -> None:
        self.lines.append(samples.line(name, **changes))
        self.there.add(("/run/test", name))

    def judge(self, since: float = 0.0) -> list[dict[str, Any]]:
        return [one.as_json() for one in self.workloads(since)]

    def decided(self) -> ledger_record.Ledger:
        starts: dict[Any, Any] = {}
        records = {}
        for one in self.lines:
            key = (one["root"], one["id"])
            records[key] = ledger_record.of(one)
            first, often = starts.get(key, (one["time"], 0))
            starts[key] = (first, often + 1)
        return ledger_record.Ledger(records, 0, starts)

    def judging(self, since: float = 0.0, **more: Any) -> Judging:
        more |= {"age": lambda _: self.age, "bounding_of": lambda _: self.capabilities}
        of = (self.decided(), self.evidence, self.profile_of, self.there.__contains__)
        return Judging(*of, self.now, since, carried=self.carries, **more)

    def workloads(self, since: float = 0.0) -> list[MergedWorkload]:
        return [*self.judging(since).judge()]

    def one(self) -> dict[str, Any]:
        (found,) = self.judge()
        return found


@pytest.fixture
def case(profile: Filter) -> Case:
    made = Case(profile)
    made.evidence.add_watched(AUDIT, BEGIN, BEGIN + WEEK)
    return made


What = Callable[[Case], object]


def runs(name: str = "c1", **changes: Any) -> What:
    return lambda case: case.container(name, **changes)


def saw(number: int = UNSHARE, name: str = "c1", at: float = 5.0, **changes: Any) -> What:
    one = sighting(number, **{"time": BEGIN + at, **changes})
    return lambda case: case.evidence.add(("/run/test", name), one)


def counted(number: int, made_by: str = "", **changes: Any) -> What:
    def count(case: Case) -> None:
        of = case.evidence.containers.setdefault(KEY, Tallies())
        evidence_memory.count(of, sighting(number, **changes), made_by=made_by or PROGRAM)

    return count


def stray(at: float = 9.0, number: int = UNSHARE) -> What:
    return lambda case: case.evidence.add(None, sighting(number, time=BEGIN + at))


def elsewhere(case: Case) -> None:
    case.evidence.unattributed.part(ELSEWHERE).add(sighting(time=BEGIN + 5))


def lost(records: int, why: str = "too fast", source: str = AUDIT, begin: float = 0) -> What:
    end, first = (begin + 10, BEGIN + begin) if begin else (9.0, None)
    return lambda case: case.evidence.add_lost(LossSpan(BEGIN + end, records, source, why, first))


def blind(case: Case) -> None:
    case.evidence.watched = {}


def watched(begin: float, end: float, source: str = AUDIT) -> What:
    return lambda case: case.evidence.add_watched(source, BEGIN + begin, BEGIN + end)


def gone(case: Case) -> None:
    case.there.clear()


def ended(at: float) -> What:
    def end(case: Case) -> None:
        case.evidence.containers.setdefault(KEY, Tallies()).ended = BEGIN + at

    return end


def cleared(at: float) -> What:
    return lambda case: setattr(case.evidence, "cleared_until", BEGIN + at)


def stored(at: float) -> What:
    def store(case: Case) -> None:
        seen = Evidence()
        seen.add(KEY, sighting(CLONE3, time=BEGIN + at))
        case.evidence.add_stored(KEY, seen.containers[KEY])

    return store


def damaged(name: str = "c1") -> What:
    return lambda case: case.evidence.add_damaged(file_name(("/run/test", name)) + ".damaged")


def crowded(case: Case) -> None:
    case.evidence.add(KEY, sighting(GETPID, time=BEGIN + 5))
    case.evidence.containers[KEY].dropped = 3


def known(case: Case, **facts: Any) -> None:
    for name, value in facts.items():
        setattr(case, name, value)


def has(*capabilities: str) -> What:
    return lambda case: known(case, capabilities={*capabilities})


def _unwatched(case: Case) -> None:
    blind(case)
    case.evidence.add_watched(AUDIT, BEGIN - 500, BEGIN - 100)
    for source in ("processes", OBSERVE):
        case.evidence.add_watched(source, BEGIN, BEGIN + WEEK)


SAFE, UNKNOWN, DENIED = {"verdict": "safe"}, {"verdict": None}, {"verdict": "denied"}
DEGRADES, DEPENDS = {"verdict": "degrades"}, {"verdict": "depends"}
UNWATCHED = {**UNKNOWN, "reason": "Unknown: nothing was watching while its containers ran."}
CLEARED = {**UNKNOWN, "reason": "Unknown: its evidence was cleared.", "watched": 0}
SECOND = "2026-11-18T01:00:00Z"  # an hour after BEGIN
NO_NAMESPACES = (0, *[None] * 5)  # evidence.attribution.child_namespaces
FAIRLY = "Watched fairly long: 7 days in 1 container; meanwhile "
UNSURE = "Well watched: 7 days in 1 container; whether clone3 was to {} (observe shows it)."
CAME = "Unknown: 1 call ({}) came as its program started"
NO_MODE = "Neither audit nor observe shows it."
EPOCH: dict[str, Any] = {"first": "2026-11-18T11:06:50Z", "last": "2026-11-18T11:06:50Z"}
OF_RUNTIME = node_reports.call(count=1, programs=["/usr/sbin/runc"], **EPOCH)
# What happened, and some of what is said of it: of a reason the beginning, of a confidence a part
JUDGED: dict[str, tuple[list[What], dict[str, Any]]] = {
    "no call, watched for a week": (
        [runs()],
        {**SAFE, "calm": False, "watched": WEEK,
         "confidence": ("Well watched: 7 days in 1 container.", "!" + NO_MODE)}),
    "a call newer than the profile": ([runs(), saw(CLONE3), saw(NEW)], DEGRADES),
    "a call that depends": ([runs(), saw(CLONE3), saw(NEW), saw(CLONE)], DEPENDS),
    "a call that is denied": ([runs(), saw(CLONE3), saw(CLONE), saw()], DENIED),
    "a call that the profile allows is another filter's": (
        [runs(), saw(GETPID)], {**SAFE, "calls": []}),
    "clone3, of which audit knows no namespaces": (
        [runs(), saw(CLONE3, args=NO_NAMESPACES)],
        {**SAFE, "confidence": UNSURE.format("do what clone cannot is unknown")}),
    "clone3, of which audit knows nothing": (
        [runs(), saw(CLONE3)],
        {**SAFE, "confidence": UNSURE.format(
            "make namespaces, or do what else clone cannot, is unknown")}),
    "watched for two days": (
        [blind, runs(), watched(0, 2 * 86400)],
        {**SAFE, "watched": 2 * 86400, "confidence": "Watched fairly long: 2 days in 1 contain"}),
    "watched for two hours": (
        [blind, runs(), watched(0, 2 * HOUR)],
        {**SAFE, "watched": 2 * HOUR, "confidence": "Watched briefly: 2 hours in 1 container."}),
    "watched for a minute": (
        [blind, runs(), watched(0, MINUTE)],
        {**SAFE, "watched": MINUTE, "confidence": "Hardly watched: 1 minute in 1 container."}),
    "the clock was set forward by a week, which a log does not know": (
        [runs(), lambda case: known(case, age=480.0)],
        {"watched": 480, "confidence": "Hardly watched: 8 minutes"}),
    "watched before it began, and by another source": ([runs(), _unwatched], UNWATCHED),
    "observed, and only audit watched": ([runs(mode="observe")], {**UNKNOWN, "watched": 0}),
    "observed, and its listener watched": (
        [runs(mode="observe"), watched(0, HOUR, OBSERVE)], {**SAFE, "watched": HOUR}),
    "it ended at a time that nobody knows": ([runs(), gone], UNKNOWN),
    "it ended after a call": ([runs(), gone, saw(CLONE3, at=60)], {"watched": 60}),
    "it ended at a known time": ([runs(), gone, saw(CLONE3), ended(300)], {"watched": 300}),
    "it ended, was cleared, and has a stored call": (
        [runs(), gone, cleared(HOUR), stored(MINUTE)], {**SAFE, "watched": MINUTE}),
    "it was cleared after its end": ([runs(), runs(time=SECOND), gone, cleared(2 * HOUR)], CLEARED),
    "it was cleared before its start": ([runs(), gone, cleared(-1)], {**UNWATCHED, "watched": 0}),
    "what runs keeps its file: it has none": (
        [runs(), cleared(HOUR)], {**SAFE, "reason": None, "watched": WEEK}),
    "it runs again, and was cleared an hour later": (
        [runs(), runs(time=SECOND), cleared(2 * HOUR)], {**SAFE, "watched": WEEK - 2 * HOUR}),
    "its time between two starts is unknown": (
        [runs(), runs(time="2026-11-24T23:59:00Z")],
        {"watched": MINUTE, "restarts": 1, "since": "2026-11-18T00:00:00Z",
         "confidence": "Hardly watched: 1 minute in 1 container with 1 restart."}),
    "forty-nine of its containers ended before": (
        [*(runs(f"c{at}", image="web", time="2026-11-10T00:00:00Z") for at in range(2, 51)), gone,
         runs(image="web")],
        {"containers": 50, "confidence": "Well watched: 7 days in 1 container."}),
    "enforced": (
        [runs(mode="enforce")],
        {**UNKNOWN, "calls": [], "reason": "Already enforced", "calm": True}),
    "enforced with a log, and nothing was denied": ([runs(mode="enforce-log")], {"calm": True}),
    "enforced with a log, and only clone3 was": (
        [runs(mode="enforce-log"), saw(CLONE3)], {"calm": True}),
    "enforced with a log, and a call was denied": (
        [runs(mode="enforce-log"), saw()], {"calm": False}),

    "not confined by us": ([runs(action="leave")], {}),
    "with a profile of its own": ([runs(action="keep")], {}),
    "turned off": ([runs(mode="off")], {}),
    "a sandbox": ([runs(namespace="shop", pod="web-0", mode="enforce")], {}),
    "a sandbox that made a call": (
        [runs(namespace="shop", pod="web-0", mode="enforce"), saw()], {"name": "shop/web"}),
    "of selftest, which nothing can watch": ([runs("runc-wrap-selftest")], {}),
    "of selftest, with a call": (
        [runs("runc-wrap-selftest"), saw(name="runc-wrap-selftest")],
        {"name": "runc-wrap-selftest"}),
    "audited, and another source lost some": ([runs(), lost(1, source="processes")], {"lost": 1}),
    "audited, and observe lost calls": ([runs(), lost(1, source=OBSERVE)], {"lost": 0}),
    "observed: the call itself identifies its container": (
        [runs(mode="observe"), lost(1, source="processes")], {"lost": 0}),
    "observed, and calls were lost": (
        [runs(mode="observe"), lost(1, source=OBSERVE)], {"lost": 1}),
    "so many were lost": (
        [runs(), lost(3)],
        {"reason": "Unknown: 3 records were lost", "lost": 3, "lost_at_least": False,
         "confidence": FAIRLY + "3 records lost."}),
    "so many at least": (
        [runs(), lost(2), lost(1, "at least one record: journalctl hung")],
        {"reason": "Unknown: at least 3 records were lost", "lost": 3, "lost_at_least": True,
         "confidence": FAIRLY + "at least 3 records lost."}),
    "so many at most": (
        [runs(), lost(3, "at most so many")], {"reason": "Unknown: at most 3 records were lost"}),
    "its end was not seen, and a loss before the next look": (
        [blind, watched(-9, 15), runs(), gone, watched(60, WEEK), lost(3, begin=30)], {"lost": 3}),
    "its end was not seen, and nobody looked again": (
        [blind, watched(-9, 15), runs(), gone, lost(3, begin=30)], {"lost": 0}),
    "its end was seen before the loss": (
        [blind, watched(-9, 15), runs(), gone, ended(20), watched(60, WEEK), lost(3, begin=30)],
        {"lost": 0}),
    "somebody looked again before the loss": (
        [blind, watched(-9, 15), runs(), gone, watched(25, WEEK), lost(3, begin=30)], {"lost": 0}),
    "a call of nobody": (
        [runs(), stray()],
        {**UNKNOWN, "lost": 0, "confidence": FAIRLY + "1 call of no known container."}),
    "a call of nobody after an end that was not seen": (
        [runs(), gone, saw(CLONE3), stray(HOUR)],
        {**UNKNOWN, "reason": "Unknown: 1 call of no known container came meanwhile"}),
    "a filter installation of nobody": ([runs(), stray(number=SECCOMP)], UNKNOWN),
    "a call of nobody that audit recorded, and it is observed": (
        [runs(mode="observe"), watched(0, HOUR, OBSERVE), stray()], SAFE),
    "a call of nobody, beside one of its own": ([runs(), saw(), stray()], DENIED),
    "a call of a process outside of containers": (
        [runs(), elsewhere], {**SAFE, "confidence": "!no known"}),
    "a call that only the runtime made": (
        [runs(), counted(UNSHARE, RUNTIME, exe="/usr/sbin/runc")],
        {**SAFE, "calls": [], "runtime_calls": [OF_RUNTIME]}),
    "a call that its program made, too": (
        [runs(), counted(UNSHARE, RUNTIME), counted(UNSHARE)], DENIED),
    "a call of either that is allowed": ([runs(), counted(GETPID, EITHER, exe="/runc")], SAFE),
    "a call of the runtime or its program": (
        [runs(), counted(GETPID, EITHER, exe="/runc"), counted(UNSHARE, EITHER, exe="/runc")],
        {**UNKNOWN, "calls": [], "reason": CAME.format("unshare")}),
    "a filter of the runtime or its program": (
        [runs(), counted(SECCOMP, EITHER, exe="/runc")],
        {**UNKNOWN, "calls": [], "reason": CAME.format("seccomp")}),
    "it has CAP_SYS_ADMIN": (
        [runs(), has("CAP_SYS_ADMIN")],
        {"confidence": (" 1 container. It has CAP_SYS_ADMIN: ", NO_MODE)}),
    "it runs criu and may trace": (
        [runs(), has("CAP_SYS_PTRACE"), saw(MOUNT, exe="/usr/sbin/criu")],
        {"confidence": (" 1 container. It runs criu and has ", NO_MODE)}),
    "it may trace": ([runs(), has("CAP_SYS_PTRACE"), saw(MOUNT)], {"confidence": "!" + NO_MODE}),
    "it calls kcmp": (
        [runs(), has(), saw(KCMP)], {"confidence": (" 1 container. It calls kcmp: ", NO_MODE)}),
}  # fmt: skip


@pytest.mark.parametrize("name", JUDGED)
def test_what_is_said_follows_from_what_happened(case: Case, name: str) -> None:
    events, wanted = JUDGED[name]
    for event in events:
        event(case)
    found = case.judge()
    assert len(found) == bool(wanted)
    for key, value in wanted.items():
        said = found[0][key]
        if key == "confidence":
            for part in (value,) if isinstance(value, str) else value:
                assert (part.removeprefix("!") in said) is not part.startswith("!")
        elif key == "reason" and value:
            assert (said or "").startswith(value)
        else:
            assert said == value, key


INCOMPLETE = [
    (damaged(), "Unknown: its evidence is damaged.", ""),
    (crowded, "Unknown: it made more kinds of calls than are kept.",
     "; 3 calls beyond the kinds that are kept."),
]  # fmt: skip


CALLS = [(None, None), (NEW, None), (CLONE, "depends"), (UNSHARE, "denied")]


@pytest.mark.parametrize(("event", "why", "doubt"), INCOMPLETE, ids=["damaged", "crowded"])
@pytest.mark.parametrize(("call", "verdict"), CALLS)
def test_a_workload_with_incomplete_evidence_is_not_safe(  # noqa: PLR0917 - table columns
    case: Case, call: int | None, verdict: str | None, event: What, why: str, doubt: str
) -> None:
    for one in (runs(), damaged("another")):
        one(case)
    assert case.one()["verdict"] == "safe"
    if call is not None:
        saw(call)(case)
    event(case)
    found = case.one()
    assert (found["verdict"], found["reason"]) == (verdict, None if verdict else why)
    assert found["confidence"].endswith(doubt)


def test_since_leaves_out_earlier_calls_and_losses(case: Case) -> None:
    for event in (runs(), saw(at=60), lost(3)):
        event(case)
    (found,) = case.judge(since=BEGIN + WEEK - HOUR)
    assert (found["verdict"], found["watched"], found["calls"]) == ("safe", HOUR, [])
    assert found["lost"] == 0


SHOWN = [
    # what kills is another filter's
    ("enforce-log", [saw(code=samples.ERRNO), saw(MOUNT, code=samples.KILL)], ["unshare"]),
    ("audit", [saw(5000), saw(7, arch=0x1234)], ["#5000", "#7"]),
]


@pytest.mark.parametrize(("mode", "calls", "shown"), SHOWN)
def test_calls_of_ours_are_shown_by_name_or_number(
    case: Case, mode: str, calls: list[What], shown: list[str]
) -> None:
    for event in [runs(mode=mode), *calls]:
        event(case)
    found = case.one()["calls"]
    assert sorted(one["syscall"] for one in found) == shown
    assert all((one["abi"] == "x86_64") is (one["syscall"] != "#7") for one in found)


GONE = "the profile is not there any more."


def test_with_an_unknown_profile_calls_are_shown_without_a_verdict(case: Case) -> None:
    for event in (runs(), saw(), lambda one: known(one, profile_of=lambda _: GONE)):
        event(case)
    found = case.one()
    assert (found["verdict"], found["reason"]) == (None, f"Unknown: {GONE}")
    assert [(one["syscall"], one["verdict"]) for one in found["calls"]] == [("unshare", None)]


CLONE3_FLAGS = [
    (0x3D0F00, "safe", "ENOSYS"),  # a thread
    (samples.NEWUSER, "denied", "EPERM by way of clone"),
    (0x80, "denied", "ENOSYS, and clone has no CLONE_NEWTIME"),
    (SPAWN, "safe", "ENOSYS"),
    (SPAWN | INTO_CGROUP, "degrades", "ENOSYS, and clone has no CLONE_INTO_CGROUP"),
    (INTO_CGROUP | samples.NEWUSER, "denied", "EPERM by way of clone"),
    (1 << 32, "degrades", "ENOSYS, and clone has no CLONE_CLEAR_SIGHAND"),
    (1 << 34, "degrades", "ENOSYS, and clone has no 0x400000000"),  # a kernel's to come
    (0x1000, "safe", "ENOSYS"),  # CLONE_PIDFD alone
    (PIDFD_AND_TID, "degrades", "ENOSYS, and clone has no CLONE_PIDFD|CLONE_PARENT_SETTID"),
]


@pytest.mark.parametrize(("flags", "verdict", "outcome"), CLONE3_FLAGS)
@pytest.mark.parametrize("is_first", [True, False])
def test_clone3_is_no_denial_if_clone_replaces_it(
    case: Case, flags: int, verdict: str, outcome: str, *, is_first: bool
) -> None:
    case.container(mode="observe")
    case.evidence.add_watched(OBSERVE, BEGIN, BEGIN + WEEK)
    for one in (flags, 0x3D0F00) if is_first else (0x3D0F00, flags):
        case.evidence.add(KEY, observed(CLONE3, one, time=BEGIN + 5))
    found = case.one()
    assert (found["verdict"], found["calls"][0]["outcome"]) == (verdict, outcome)
    assert found["calls"][0]["expected"] is (verdict == "safe")


@pytest.mark.parametrize(("unmade", "verdict"), [(UNMADE, "safe"), (0, None)])
def test_a_clone3_without_flags_hides_nothing_of_the_others(
    case: Case, unmade: int, verdict: str | None
) -> None:
    case.container(mode="observe")
    case.evidence.add_watched(OBSERVE, BEGIN, BEGIN + WEEK)
    for _ in range(488):
        case.evidence.add(KEY, observed(CLONE3, 0x3D0F00, time=BEGIN + 5))
    code = samples.NOTIFY | unmade
    case.evidence.add(KEY, observed(CLONE3, args=None, code=code, time=BEGIN + 5))
    found = case.one()
    (call,) = found["calls"]
    assert (found["verdict"], call["verdict"], call["count"]) == (verdict, "degrades", 489)
    assert (call["args"], len(call["arguments"])) == (None, 1)
    if unmade:
        told = "; what 1 of 489 calls of clone3 was to do is unknown, as its caller was killed"
        assert told in found["confidence"]
    else:
        told = "Unknown: the flags of 1 of 489 calls of clone3 could not be read, and with those"
        assert found["reason"].startswith(told)
    case.evidence.add(KEY, observed(CLONE3, samples.NEWUSER, time=BEGIN + 5))
    assert case.one()["verdict"] == "denied"


@pytest.mark.parametrize(("kinds", "are_known"), [(32, True), (33, False)])
def test_arguments_are_shown_all_or_not_at_all(case: Case, kinds: int, are_known: bool) -> None:
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
    programs = ["/usr/bin/b", "/usr/bin/a", "unshare"]
    times = {"first": "2026-11-18T00:00:00Z", "last": "2026-11-18T00:00:03Z"}
    wanted = node_reports.call("unshare", UNSHARE, count=4, programs=programs, **times)
    assert case.one()["calls"] == [wanted]


TIMES = {"before": (-9, -3), "begins in it": (-9, 2), "all of it": (-9, WEEK), "inside": (30, 40)}


@pytest.mark.parametrize(("name", "is_lost"), [(n, n != "before") for n in TIMES])
@pytest.mark.parametrize("calls", [[], [CLONE3, NEW], [CLONE], [UNSHARE]])
def test_a_workload_that_ran_during_a_loss_is_not_safe(
    case: Case, name: str, calls: list[int], *, is_lost: bool
) -> None:
    verdict = {CLONE: "depends", UNSHARE: "denied"}.get(calls[-1] if calls else 0)
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


@pytest.mark.parametrize(("call", "verdict"), [(NEW, None), (CLONE, "depends")])
def test_a_degrading_call_does_not_hide_another_containers_unknown_profile(
    case: Case, profile: Filter, call: int, verdict: str | None
) -> None:
    case.profile_of = lambda record: GONE if record.profile == "localhost/gone.json" else profile
    case.container("c1", image="web")
    case.container("c2", image="web", profile="localhost/gone.json")
    case.evidence.add(KEY, sighting(call, time=BEGIN + 5))
    case.evidence.add(("/run/test", "c2"), sighting(UNSHARE, time=BEGIN + 5))
    found = case.one()
    assert (found["verdict"], found["reason"]) == (verdict, None if verdict else f"Unknown: {GONE}")


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
