"""The cost of evidence for every program and create on the node, and each denied call.

One installation, whose handlers are named like modes; its agent runs for some of the
measurements, and no other agent runs.
"""

from __future__ import annotations

import contextlib
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.host.processes import run
from harness.measure import numbers
from harness.measure.timing import FailedError, seconds_of, timed
from harness.node import agent as agents
from harness.node import install
from harness.node.requirements import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.places import Places
    from bench.subjects import Subject

MODES = ("off", "enforce", "audit", "observe")
POLICY = "".join(
    f'[[rule]]\nname = "{mode}"\nhandler = ["{mode}"]\nmode = "{mode}"\n' for mode in MODES
)
# What is collected: (does an agent run, does a container in audit)
COLLECTED = {
    "nothing": (False, False),
    "agent": (True, False),
    "audit": (False, True),
    "agent, audit": (True, True),
}
BLOCKS, EACH = 6, 20  # times each of these is set up, and what is started in each
# Who is asked about a denied call: (mode, does an agent run)
ASKED = {
    "no filter": ("off", False),
    "enforce": ("enforce", False),
    "audit, no agent": ("audit", False),
    "audit, agent": ("audit", True),
    "observe": ("observe", True),
}
LOOPS, PAUSED, RUNS = 20, 40, 6  # loops of 100 calls, calls apart, containers of each


@dataclass(frozen=True)
class Found:
    """Rounds in seconds: of starts and creates by what is collected, of calls by mode and agent."""

    starts: numbers.Rounds
    creates: numbers.Rounds
    loop: numbers.Rounds
    paused: numbers.Rounds


def measured(places: Places, seed: int) -> Found:
    """Measure all of it. No agent may run."""
    own = _installed(places)
    starts, creates = _added(places, own, seed)
    loop, paused = _denied(places, own, seed)
    return Found(starts, creates, loop, paused)


def _installed(places: Places) -> install.Installed:
    own = install.copy_of(places.installed["runc-cold"], places.directory / "evidence")
    own.configure(f'runtime = ["runc"]\n{POLICY}')
    for mode in MODES:
        (own.wrapper.with_name(mode)).symlink_to(own.wrapper.name)
    return own


def _subject(places: Places, own: install.Installed, mode: str) -> Subject:
    name = f"runc/evidence-{mode}"
    if name not in places.subjects:
        path = str(own.wrapper.with_name(mode))
        places.subjects[name] = places.subject(name, path, {})
    return places.subjects[name]


@contextlib.contextmanager
def _collecting(
    places: Places, own: install.Installed, *, agent: bool, audit: bool
) -> Iterator[None]:
    """Run, or do not run, this installation's agent and a container in audit."""
    with contextlib.ExitStack() as stack:
        if agent:
            stack.enter_context(agents.running(own))
        if audit:
            subject = _subject(places, own, "audit")
            subject.start()
            stack.callback(subject.stop)
        yield


def _added(
    places: Places, own: install.Installed, seed: int
) -> tuple[numbers.Rounds, numbers.Rounds]:
    """Return the medians of starts and of cold creates with a runtime that does nothing."""
    cold = places.installed["runc-cold"]
    subject = places.subject("runc/evidence-cold", str(cold.wrapper), {})
    starts, creates = [], []
    install.use_runtime(cold, places.nothing)
    for order in numbers.orders([*COLLECTED], BLOCKS, seed):
        start, create = {}, {}
        for state in order:
            agent, audit = COLLECTED[state]
            with _collecting(places, own, agent=agent, audit=audit):
                start[state] = _median(lambda: timed([places.nothing]).seconds)
                create[state] = _median(lambda: seconds_of(subject.prepared_create(0), subject.log))
        starts.append(start)
        creates.append(create)
    install.use_runtime(cold, program("runc"))
    return starts, creates


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(EACH))


def _denied(
    places: Places, own: install.Installed, seed: int
) -> tuple[numbers.Rounds, numbers.Rounds]:
    """Return the time of one denied call, in a loop and with pauses."""
    source = install.SOURCE / "bench" / "denied.c"
    run(["cc", "-O2", "-static", "-o", places.rootfs / "denied", source])
    loop, paused = [], []
    for order in numbers.orders([*ASKED], RUNS, seed):
        found = {}
        for asked in order:
            mode, agent = ASKED[asked]
            with _collecting(places, own, agent=agent, audit=False):
                found[asked] = _calls(_subject(places, own, mode))
        loop.append({asked: each[0] for asked, each in found.items()})
        paused.append({asked: each[1] for asked, each in found.items()})
    return loop, paused


def _calls(subject: Subject) -> tuple[float, float]:
    """Run the program in a container; return seconds for a call in its loop and for one apart."""
    identity = f"bench-{subject.name}-denied"
    subject.write_config(identity, ["/denied", str(LOOPS), str(PAUSED)])
    config = subject.bundle / "config.json"
    config.write_text(config.read_text().replace('"shares":2', '"shares":1024'))  # or others count
    said: Path = subject.directory / "denied"
    said.unlink(missing_ok=True)
    words = subject.words(subject.program, "run", "--bundle", str(subject.bundle), identity)
    ended = timed(words, str(said))
    if ended.status:
        raise FailedError(f"{' '.join(words)} ended with {ended.status}: {said.read_text()}")
    loop, paused = said.read_text().split()
    return int(loop) / 1e9, int(paused) / 1e9
