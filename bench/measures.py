"""The measurements: what is run and how often, with plain data as the result."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.places import Places
from bench.subjects import Subject
from harness.measure import numbers
from harness.measure.numbers import Rounds
from harness.measure.timing import FailedError, seconds_of, spawned
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
        method = COMMANDS[command]
        ways_of = {way: partial(method, subject) for way, subject in subjects.items()}
        count = plan.count(command)
        found[command] = numbers.interleaved(ways_of, count, plan.seed)
    for subject in subjects.values():
        subject.stop()
    return found


def alone(places: Places, plan: Plan) -> Rounds:
    """Measure a create with a runtime that does nothing: the added time without runc's noise."""
    ways = ["cold", "agent"]
    subjects = {
        way: places.subject(f"runc/alone-{way}", places.program_of(f"runc/{way}"), {})
        for way in ways
    }
    subjects["bare"] = places.subject("runc/alone-bare", places.nothing, {})
    creates = {
        way: lambda one=subject: seconds_of(one.prepared_create(0), one.log)
        for way, subject in subjects.items()
    }
    with _before_nothing(places, ways):
        return numbers.interleaved(creates, plan.rounds, plan.seed)


def archived(places: Places, plan: Plan) -> Rounds:
    """Measure a cold create, by the node's interpreter and by each copy of the archive's."""
    wrapper = {"node": places.program_of("runc/cold"), **places.archives}
    subjects = {
        way: places.subject(f"runc/archived-{way}", path, {}) for way, path in wrapper.items()
    }
    creates = {
        way: lambda one=subject: seconds_of(one.prepared_create(0), one.log)
        for way, subject in subjects.items()
    }
    with _before_nothing(places, ["cold"]):
        return numbers.interleaved(creates, plan.rounds, plan.seed)


def passed_on(places: Places, plan: Plan) -> Rounds:
    """Measure a command that the launcher passes on to a runtime that does nothing."""
    program_of = {"bare": places.nothing, "cold": places.program_of("runc/cold")}
    subjects = {
        way: places.subject(f"runc/passed-on-{way}", path, {}) for way, path in program_of.items()
    }
    states = {way: partial(subject.state, "ID") for way, subject in subjects.items()}
    with _before_nothing(places, ["cold"]):
        return numbers.interleaved(states, plan.rounds, plan.seed)


@contextlib.contextmanager
def _before_nothing(places: Places, ways: list[str]) -> Iterator[None]:
    """Make the installations of these ways use a program that does nothing as runc."""
    with contextlib.ExitStack() as stack:
        for way in ways:
            installed = places.installed[f"runc-{way}"]
            stack.callback(use_runtime, installed, program("runc"))
            use_runtime(installed, places.nothing)
        yield


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
        for order in numbers.orders(WAYS, plan.bursts, plan.seed)
    ]
