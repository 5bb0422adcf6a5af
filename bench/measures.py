"""The measurements: what is run and how often, with plain data as the result."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.places import Places
from bench.subjects import Subject
from harness import measurement
from harness.measurement import FailedError, Rounds, seconds_of, spawned
from harness.node.install import use_runtime
from harness.node.requirements import program

WAYS = ("bare", "cold", "agent")
COMMANDS: dict[str, Callable[[Subject], float]] = {
    "create": Subject.create,
    "state": Subject.state,
    "exec": Subject.execute,
}
PROMISED = {"runc": ("create", "state", "exec"), "crun": ("state", "exec")}
CREATES = 2  # times as many rounds of runc's create: see Plan
AT_ONCE = 100


@dataclass(frozen=True)
class Plan:
    """How often each is measured, and the seed of the order.

    CREATES times as many `rounds` of runc's create: that takes some 40 ms and varies by 4, so
    whether 1 ms was added shows in the median of many only.
    """

    rounds: int
    bursts: int
    seed: int

    def count(self, command: str) -> int:
        """Return how often a runtime's command is measured."""
        return self.rounds * (CREATES if command == "create" else 1)


def commands(places: Places, runtime: str, plan: Plan) -> dict[str, Rounds]:
    """Measure every command in every way, bare and wrapped."""
    subjects = {way: places.subjects[f"{runtime}/{way}"] for way in WAYS}
    for subject in subjects.values():
        subject.start()
    found = {}
    for command in PROMISED[runtime]:
        ways_of = {way: partial(COMMANDS[command], subject) for way, subject in subjects.items()}
        count = plan.count(command)
        found[command] = measurement.interleaved(ways_of, count, plan.seed)
    for subject in subjects.values():
        subject.stop()
    return found


def alone(places: Places, plan: Plan) -> Rounds:
    """Measure a create with a runtime that does nothing: the added time without runc's noise."""
    programs = {way: places.program_of(f"runc/{way}") for way in ("cold", "agent")}
    return _before_nothing(places, plan, "alone", {**programs, "bare": places.nothing}, _create)


def passed_on(places: Places, plan: Plan) -> Rounds:
    """Measure a command that the launcher passes on to a runtime that does nothing."""
    programs = {"bare": places.nothing, "cold": places.program_of("runc/cold")}
    return _before_nothing(places, plan, "passed-on", programs, lambda one: one.state("ID"))


def _create(subject: Subject) -> float:
    return seconds_of(subject.prepared_create(0), subject.log)


def _before_nothing(
    places: Places,
    plan: Plan,
    name: str,
    programs: Mapping[str, str],
    measure: Callable[[Subject], float],
) -> Rounds:
    """Measure these programs while installations have one that does nothing as runc."""
    subjects = {
        way: places.subject(f"runc/{name}-{way}", path, {}) for way, path in programs.items()
    }
    measures = {way: partial(measure, subject) for way, subject in subjects.items()}
    with contextlib.ExitStack() as stack:
        for way in ("cold", "agent"):
            installed = places.installed[f"runc-{way}"]
            stack.callback(use_runtime, installed, program("runc"))
            use_runtime(installed, places.nothing)
        return measurement.interleaved(measures, plan.rounds, plan.seed)


def burst(subjects: list[Subject]) -> dict[str, Any]:
    """Create all at once; return the wall time, and each one's time from the first start on."""
    argvs = [subject.prepared_create(number) for number, subject in enumerate(subjects)]
    begin = time.perf_counter()
    pending = {
        spawned(argv, subject.log): number
        for number, (argv, subject) in enumerate(zip(argvs, subjects, strict=True))
    }
    ends: dict[int, float] = {}
    while pending:
        pid, status = os.waitpid(-1, 0)
        if pid not in pending:
            continue
        ends[pending.pop(pid)] = time.perf_counter() - begin
        if status != 0:
            raise FailedError("one of many creates at once failed")
    for number, subject in enumerate(subjects):
        subject.delete(subject.numbered(number))
    return {"wall": max(ends.values()), "each": sorted(ends.values())}


def bursts(places: Places, plan: Plan) -> list[dict[str, Any]]:
    """Create AT_ONCE containers at once, each way in turn."""
    many = {
        way: [places.again(f"runc/{way}", f"-{number}") for number in range(AT_ONCE)]
        for way in WAYS
    }
    return [
        {way: burst(many[way]) for way in order}
        for order in measurement.orders(WAYS, plan.bursts, plan.seed)
    ]
