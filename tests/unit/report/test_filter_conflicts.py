"""The effect of a workload's own filters on its verdict."""

from typing import Any

import pytest

from runc_wrap import time_text
from runc_wrap.evidence.sightings import AUDIT, OBSERVE, Sighting
from runc_wrap.evidence.store.call_counts import CallKind
from runc_wrap.evidence.store.evidence_memory import Evidence
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.report import filter_conflicts
from runc_wrap.report.call_outcomes import Filter
from runc_wrap.report.container_evidence import Carried
from runc_wrap.report.enforced_profile import Enforced
from tests.unit.evidence import samples
from tests.unit.evidence.samples import UNSHARE, observed, sighting
from tests.unit.report import test_verdict
from tests.unit.report.test_verdict import BEGIN, HOUR, Case

SECCOMP, PRCTL, SECCOMP86, PRCTL86 = 317, 157, 354, 172
SECCOMP_X32 = 0x40000000 | SECCOMP
SET_FILTER, SET_SECCOMP, FILTER = 1, 22, 0x7FFC12345678
TRACER = {"comm": "strace", "exe": "/usr/bin/strace", "time": BEGIN + 5}


profile = test_verdict.profile  # a fixture


def judged(
    profile: Filter,
    *said: tuple[str, Sighting | None],
    carried: Carried | None = None,
    evidence: Evidence | None = None,
) -> dict[str, Any]:
    """Return one workload's verdict for its containers' modes, the newest last, and their calls."""
    case = Case(profile)
    case.evidence, case.now = evidence or Evidence(), BEGIN + HOUR
    for mode in (AUDIT, OBSERVE):
        case.evidence.add_watched(mode, BEGIN, BEGIN + HOUR)
    for at, (mode, one) in enumerate(said):
        time = time_text.rfc3339(BEGIN + at)
        case.container(f"c{at}", mode=mode, container="app", time=time)
        if one:
            case.evidence.add(("/run/test", f"c{at}"), one)
    case.carries = {("/run/test", "c0"): carried} if carried else {}
    return case.one()


INSTALLING = [(number, samples.X86_64) for number in (SECCOMP, PRCTL, SECCOMP_X32)]
INSTALLING += [(number, samples.X86) for number in (SECCOMP86, PRCTL86)]


@pytest.mark.parametrize(("number", "arch"), INSTALLING)
def test_a_record_of_an_installation_is_no_row_and_leaves_nothing_safe(
    profile: Filter, number: int, arch: int
) -> None:
    found = judged(profile, ("audit", sighting(number, arch=arch, **TRACER)))
    assert (found["verdict"], found["calls"]) == (None, [])
    told = "its programs installed filters of their own (once, by /usr/bin/strace), which can hide"
    assert found["reason"].startswith(f"Unknown: {told} calls from audit; use observe, which")
    counts = {"installations": 1, "processes": 0, "processes_looked_at": 0}
    assert found["own_filters"] == {**counts, "programs": ["/usr/bin/strace"]}


INSTALLED, UNSEEN = sighting(SECCOMP, **TRACER), ("audit", None)


def _asked(number: int, *args: int) -> tuple[str, Sighting]:
    return "observe", observed(number, *args, **TRACER)


# What its containers did, the newest last; what their processes carry; verdict, installations
DOUBTS: dict[str, tuple[list[tuple[str, Sighting | None]], Carried | None, str | None, int]] = {
    "none": ([UNSEEN], None, "safe", 0),
    "a call was seen anyway": (
        [("audit", INSTALLED), ("audit", sighting(UNSHARE))], None, "denied", 1),
    "observe hides nothing": ([_asked(SECCOMP, SET_FILTER, 0, FILTER)], None, "safe", 1),
    "nor by prctl": ([_asked(PRCTL, SET_SECCOMP, 2, FILTER)], None, "safe", 1),
    "another option": ([_asked(PRCTL, SET_SECCOMP + 1)], None, "safe", 0),
    "libseccomp's probe, for each flag": ([_asked(SECCOMP, SET_FILTER, 1, 0)], None, "safe", 0),
    "libseccomp's: strict mode takes no flags": ([_asked(SECCOMP, 0, 1, 0)], None, "safe", 0),
    "runc's and moby's probe": ([_asked(PRCTL, SET_SECCOMP, 2, 0)], None, "safe", 0),
    "what is enforced outranks it": ([("enforce-log", INSTALLED)], None, "safe", 1),
    "the newest is in observe": ([("audit", INSTALLED), ("observe", None)], None, "safe", 0),
    "the newest is in audit": ([("observe", None), ("audit", INSTALLED)], None, None, 1),
    "two of three processes have filters": ([UNSEEN], Carried(2, 3), None, 0),
    "none of three has": ([UNSEEN], Carried(0, 3), "safe", 0),
}  # fmt: skip


@pytest.mark.parametrize("case", DOUBTS)
def test_filters_that_may_hide_calls_leave_nothing_safe(profile: Filter, case: str) -> None:
    said, carried, verdict, number = DOUBTS[case]
    found = judged(profile, *said, carried=carried)
    assert found["verdict"] == verdict
    assert case.startswith("the newest") or found["own_filters"]["installations"] == number
    assert verdict != "safe" or "in 1 container" in found["confidence"]  # of observe's alone
    if carried and verdict is None:
        assert "2 of its 3 running processes have filters of their own" in found["reason"]


STRICT = [
    (PRCTL, (SET_SECCOMP, 1)),
    (PRCTL, (SET_SECCOMP | 1 << 40, 1)),  # it is an int
    (SECCOMP, (0, 0, 0)),
    (SECCOMP, (1 << 40, 1 << 40, 0)),  # both are ints
    (SECCOMP_X32, (0, 0, 0)),
]


@pytest.mark.parametrize(("number", "args"), STRICT)
def test_a_program_that_asks_for_strict_mode_is_unknown(
    profile: Filter, number: int, args: tuple[int, ...]
) -> None:
    """Without us it gets it; the kernel refuses it to a process that has a filter, in any mode."""
    found = judged(profile, ("observe", observed(number, *args, **TRACER)))
    assert (found["verdict"], found["own_filters"]["installations"]) == (None, 0)
    assert "asked for strict mode (once, by /usr/bin/strace)" in found["reason"]


MANY = [
    (PRCTL, [(SET_SECCOMP, mode, 0) for mode in range(3, 50)], (SET_SECCOMP, 1, 0)),
    (SECCOMP, [(0, flags, 0) for flags in range(1, 50)], (0, 0, 0)),
]


@pytest.mark.parametrize(("number", "others", "strict"), MANY)
def test_many_other_calls_before_do_not_hide_that_it_asks_for_strict_mode(
    profile: Filter, number: int, others: list[tuple[int, ...]], strict: tuple[int, ...]
) -> None:
    """The values of few arguments are kept of each call."""
    seen = Evidence()
    for args in [*others, strict]:
        seen.add(("/run/test", "c0"), observed(number, *args, **TRACER))
    found = judged(profile, ("observe", None), evidence=seen)
    assert "asked for strict mode (once, by /usr/bin/strace)" in str(found["reason"])


def test_a_filter_for_a_missing_listener_hides_calls_from_observe(profile: Filter) -> None:
    installed = observed(SECCOMP, SET_FILTER, 0, FILTER, **TRACER)
    found = judged(profile, ("observe", installed._replace(code=installed.code | 1)))
    assert found["verdict"] is None
    told = "that may hand calls to a listener that does not exist: observe does not receive those"
    assert f"installed filters (once, by /usr/bin/strace) {told}; use enforce" in found["reason"]


def test_hostile_names_are_shown_inert(profile: Filter) -> None:
    found = judged(profile, ("audit", sighting(SECCOMP, exe="/\x1b[31mx", time=BEGIN + 5)))
    assert "\x1b" not in found["reason"]


def test_a_denied_prctl_is_not_a_known_installation() -> None:
    denying = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}
    profile = Enforced(denying, Loader.of("runc", "1.3.0"))
    prctl = CallKind(samples.X86_64, PRCTL, samples.LOG, None, "", "")
    assert not filter_conflicts.is_one(prctl, profile)
    assert filter_conflicts.is_one(prctl._replace(number=SECCOMP), profile)
    assert not filter_conflicts.is_one(prctl._replace(number=SECCOMP, code=samples.ERRNO), profile)
