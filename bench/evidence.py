"""The cost of a denied call in each mode, with and without an agent.

One installation, whose handlers are named like modes; no other agent runs.
"""

import contextlib
from dataclasses import dataclass

from bench.places import Places
from bench.subjects import Subject
from harness.host.processes import run
from harness.measure import numbers
from harness.measure.timing import FailedError, timed
from harness.node import agent as agents
from harness.node import install

MODES = ("off", "enforce", "audit", "observe")
POLICY = "".join(
    f'[[rule]]\nname = "{mode}"\nhandler = ["{mode}"]\nmode = "{mode}"\n' for mode in MODES
)
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
    """Rounds in seconds, by mode and agent."""

    loop: numbers.Rounds
    paused: numbers.Rounds


def measured(places: Places, seed: int) -> Found:
    """Measure all of it. No agent may run."""
    own = _installed(places)
    return Found(*_denied(places, own, seed))


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
            with agents.running(own) if agent else contextlib.nullcontext():
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
    said = subject.directory / "denied"
    said.unlink(missing_ok=True)
    words = subject.words(subject.program, "run", "--bundle", str(subject.bundle), identity)
    ended = timed(words, str(said))
    if ended.status:
        raise FailedError(f"{' '.join(words)} ended with {ended.status}: {said.read_text()}")
    loop, paused = said.read_text().split()
    return int(loop) / 1e9, int(paused) / 1e9
