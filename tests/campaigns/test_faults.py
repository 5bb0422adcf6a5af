"""Creates under injected faults: none unconfined by mistake, none lost, no half file.

Each batch has its own kind of trouble; within it each create has a fault of its own. What a batch
came to is printed. More by `make campaign-faults`; and the campaign detects defects.
"""

import contextlib
import errno
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.host.processes import Daemon, run, script
from harness.node import agent, install
from harness.node.install import Installed
from harness.node.requirements import program, requires
from tests.campaigns import disturbances
from tests.campaigns.creates import (
    HALF,
    LOST,
    STARTED,
    UNCONFINED,
    VARIANTS,
    WRONG,
    Creator,
    Fault,
    Result,
)

Json = dict[str, Any]

BATCH = 400  # creates; far fewer lines than a rotation of the ledger takes away
WORKERS = 3
COLD_CALLS = 330  # more than a cold create makes, so that the last ones are reached too
AGENT_CALLS = 40  # likewise, of one that the agent decides
_FIRST = 2  # the first one starts the program itself
_ERRORS = (errno.ENOSPC, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.EACCES, errno.EROFS)
_SECONDS_TO_SETTLE = 1.0  # for the agent to write the last lines of a batch
CREATES = int(os.environ.get("RUNC_WRAP_TEST_CREATES", "480"))  # sixty of each kind
SEED = int(os.environ.get("RUNC_WRAP_TEST_SEED", "1"))


@dataclass
class Machine:
    """One installation, its runtime, and the directories that creates are made in."""

    installed: Installed
    creators: list[Creator]
    runtime: str
    inject: str
    both: list[Json] = field(default_factory=list)  # the blocks of audit and of enforce


@dataclass
class Tally:
    """What all creates came to."""

    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    faulty: int = 0

    def add(self, kind: str, fault: Fault, result: Result) -> None:
        """Count one create."""
        self.outcomes[result.outcome] += 1
        self.kinds.setdefault(kind, Counter())[result.outcome] += 1
        self.faulty += result.is_faulty or bool(fault.before)
        if result.outcome in WRONG:
            self.wrong.append(f"{kind} {result.name} {fault}: {result.outcome}: {result.why}")


def in_steps(chance: Random, most: int = COLD_CALLS) -> Fault:
    """Return a fault at one of the calls of a create."""
    number = chance.choice(_ERRORS)
    what = chance.choice(("kill", f"once:{number}", f"on:{errno.ENOSPC}", f"on:{errno.EIO}"))
    return Fault(chance.randrange(_FIRST, most), what)


def in_few_steps(chance: Random) -> Fault:
    """Return likewise, mostly at one of the calls of a create that the agent decides."""
    return in_steps(chance, chance.choice((AGENT_CALLS, AGENT_CALLS, COLD_CALLS)))


def in_memory(chance: Random) -> Fault:
    """Return a limit of memory, of files' size or of descriptors."""
    limits = [("as", 1 << 20, 96 << 20), ("fsize", 0, 8192), ("nofile", 5, 14)]
    name, least, beyond = chance.choice([*limits, ("data", 1 << 18, 16 << 20)])
    return Fault(before=(program("prlimit"), f"--{name}={chance.randrange(least, beyond)}"))


def in_nothing(chance: Random) -> Fault:  # noqa: ARG001 - as the others
    """Return no fault: the trouble is beside the create."""
    return Fault()


# kind -> the faults of its creates, whether an agent runs
KINDS = {
    "steps, cold": (in_steps, False),
    "steps, agent": (in_few_steps, True),
    "services killed": (in_nothing, True),
    "services killed, steps": (in_few_steps, True),
    "policy swapped": (in_nothing, True),
    "release swapped": (in_nothing, True),
    "agent on a failing disk": (in_nothing, True),
    "memory": (in_memory, False),
}


@contextlib.contextmanager
def trouble(kind: str, machine: Machine, chance: Random) -> Iterator[None]:
    """Have what a kind says go on beside creates."""
    with contextlib.ExitStack() as stack:
        if kind.startswith("services killed"):
            stack.enter_context(agent.supervised(machine.installed))
        elif KINDS[kind][1]:
            rate = ("997", f"each:{errno.EIO}", "/bin/false") if "disk" in kind else ()
            inside = (machine.inject, *rate) if rate else ()
            stack.enter_context(_agent(machine.installed, inside))
        disturb = {
            "services killed": disturbances.of_services,
            "release swapped": disturbances.of_release,
        }.get(kind.partition(",")[0])
        if disturb:
            stack.enter_context(disturbances.repeated(disturb(machine.installed), chance))
        elif kind == "policy swapped":
            swap = disturbances.of_policy(machine.installed, machine.runtime)
            stack.enter_context(disturbances.repeated(swap, chance))
        yield


@contextlib.contextmanager
def _agent(installed: Installed, inside: Sequence[str]) -> Iterator[None]:
    if not inside:
        with agent.running(installed):
            yield
        return
    # One that fails now and then may never be whole: it is there or not, and creates go on.
    log = installed.prefix / "var" / "agent.log"
    with contextlib.ExitStack() as stack:
        stack.callback(agent.end_all, installed.prefix)
        for role in agent.ROLES:
            stack.enter_context(Daemon([*inside, installed.ctl, "agent", role], log))
        time.sleep(1)
        yield


def batch(kind: str, machine: Machine, chance: Random, size: int, tally: Tally) -> None:
    """Make creates of one kind, and look whether the ledger has them."""
    started: dict[str, Fault] = {}
    with trouble(kind, machine, chance), ThreadPoolExecutor(len(machine.creators)) as workers:
        shares = [
            (creator, random.Random(chance.getrandbits(64)), range(at, size, WORKERS))  # noqa: S311 - a seed that can be repeated is the point
            for at, creator in enumerate(machine.creators)
        ]
        for results in workers.map(lambda share: _share(kind, *share), shares):
            for fault, result in results:
                tally.add(kind, fault, result)
                if result.outcome == STARTED and not result.is_faulty and not fault.before:
                    started[result.name] = fault
        time.sleep(_SECONDS_TO_SETTLE)
    _check_ledger(kind, machine.installed, started, tally)


def _share(
    kind: str, creator: Creator, chance: Random, numbers: range
) -> list[tuple[Fault, Result]]:
    results = []
    for number in numbers:
        fault = KINDS[kind][0](chance)
        name = f"campaign-{chance.getrandbits(48):012x}-{number}"
        results.append((fault, creator.create(name, chance.choice([*VARIANTS]), fault)))
    return results


def _check_ledger(kind: str, installed: Installed, started: dict[str, Fault], tally: Tally) -> None:
    """Each line is whole, and each create that started without a fault of its own has one."""
    found = set()
    for name in ("ledger.1.jsonl", "ledger.jsonl"):
        path = installed.prefix / "var/ledger" / name
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                found.add(json.loads(line)["id"])
            except (ValueError, KeyError, TypeError):
                tally.wrong.append(f"{kind}: the ledger has a line that is none: {line[:200]!r}")
    missing = [] if "disk" in kind else sorted(started.keys() - found)
    if missing:
        tally.wrong.append(f"{kind}: the ledger lacks {len(missing)} creates: {missing[:3]}")
    for name in ("ledger.1.jsonl", "ledger.jsonl"):
        (installed.prefix / "var/ledger" / name).unlink(missing_ok=True)


@contextlib.contextmanager
def prepared(shared: Installed) -> Iterator[Machine]:
    """Copy an installation, with a runtime that only looks; all of it is gone afterwards."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="rw-faults-", dir=memory) as name:
        directory = Path(name)
        for source in ("inject", "witness"):
            code = Path(__file__).with_name(f"{source}.c")
            words = ["-std=gnu11", "-O2", "-static", "-Wall", "-Wextra", "-Werror", "-o"]
            run([program("cc"), *words, directory / source, code])
        installed = install.copy_of(shared, directory / "prefix")
        inject, witness = directory / "inject", directory / "witness"
        runtime = str(witness)
        bundles = [directory / f"bundle{number}" for number in range(WORKERS)]
        for each in bundles:
            each.mkdir()
        creators = [Creator(installed, each, inject, witness) for each in bundles]
        made = Machine(installed, creators, runtime, str(inject))
        for policy in (disturbances.AUDIT, disturbances.ENFORCE):
            installed.configure(f'runtime = ["{runtime}"]\n{policy}')
            made.both.append(creators[0].block_in_force())
        yield made


def campaign(shared: Installed, creates: int, seed: int) -> Tally:
    """Make so many creates, in batches of each kind in turn."""
    kinds = tuple(KINDS)
    chance = random.Random(seed)  # noqa: S311 - a seed that can be repeated is the point
    tally = Tally()
    print(f"seed {seed}", flush=True)  # noqa: T201 - as below
    with prepared(shared) as made:
        number = 0
        while (left := creates - sum(tally.outcomes.values())) > 0:
            kind = kinds[number % len(kinds)]
            size = min(BATCH, left, max(creates // len(kinds), 1))
            _in_force(kind, made)
            batch(kind, made, chance, size, tally)
            number += 1
            print(f"{kind}: {dict(tally.kinds[kind])}, {len(tally.wrong)} wrong", flush=True)  # noqa: T201 - of a campaign of half an hour
    return tally


def _in_force(kind: str, made: Machine) -> None:
    """The other policy's block may be injected only if policies are swapped."""
    made.installed.configure(f'runtime = ["{made.runtime}"]\n{disturbances.ENFORCE}')
    audit, enforce = made.both
    for creator in made.creators:
        creator.blocks[:] = [audit, enforce] if kind == "policy swapped" else [enforce]


def test_no_fault_loses_a_create_or_leaves_it_unconfined_or_half_done(installed: Installed) -> None:
    requires("cc", "prlimit", "setpriv", root=True)
    tally = campaign(installed, CREATES, SEED)
    assert tally.wrong == []
    assert sum(tally.outcomes.values()) == CREATES
    assert min(sum(counts.values()) for counts in tally.kinds.values()) > 0
    assert tally.faulty > CREATES / 5  # faults are really met
    assert tally.outcomes["refused"] > CREATES / 50


@pytest.fixture(scope="module")
def machine(installed: Installed) -> Iterator[Machine]:
    requires("cc", root=True)
    with prepared(installed) as made:
        _in_force("steps, cold", made)
        yield made


PLANTED = {
    UNCONFINED: 'exec {witness} "$@"',
    LOST: "exit 1",
    HALF: 'printf x >> {config}; exec {witness} "$@"',
}


@pytest.mark.parametrize("outcome", PLANTED)
def test_a_wrong_wrapper_is_detected(machine: Machine, tmp_path: Path, outcome: str) -> None:
    creator = machine.creators[0]
    assert creator.create("sound", "plain", Fault()).outcome == STARTED
    text = PLANTED[outcome].format(witness=creator.witness, config=creator.config)
    script(Installed(tmp_path).wrapper, text)
    planted = replace(creator, installed=Installed(tmp_path))
    assert planted.create("planted", "plain", Fault()).outcome == outcome


def test_a_create_without_a_ledger_line_is_detected(machine: Machine) -> None:
    tally = Tally()
    result = machine.creators[0].create("in-the-ledger", "plain", Fault())
    started = {result.name: Fault(), "not-in-the-ledger": Fault()}
    _check_ledger("steps, cold", machine.installed, started, tally)
    assert tally.wrong == ["steps, cold: the ledger lacks 1 creates: ['not-in-the-ledger']"]
