"""One transaction from top to bottom: a change of an engine's configuration, proved or undone.

    writing     the files, as `engine add` without --restart does
    checking    the engine's own check of them, before it is told
    restarting  the engine reads them, answers, and shows the handlers that it should
    proving     a canary through the handler, and its filter as the kernel has it
    trying      only with --try: in force until it is confirmed or taken back
    done

Each step is in the journal before it begins. What fails in any is taken back at once; what a kill
interrupts, by the next command, by a timer of systemd, or at boot before the engines start.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runc_wrap.node.engines.canary import canary_proof
from runc_wrap.node.engines.canary.canary_proof import NotProved
from runc_wrap.node.engines.cri.grpc_call import CallFailed
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.registration import (
    plan_execution,
    registration_plan,
    registration_state,
)
from runc_wrap.node.engines.transaction import (
    file_snapshot,
    handlers_wanted,
    journal,
    left_canaries,
    taking_back,
    unfinished,
)
from runc_wrap.node.engines.transaction.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runc_wrap.node.engines.registration.registration_plan import Plan
    from runc_wrap.node.engines.registration.registration_state import Where
    from runc_wrap.node.engines.transaction.engine_access import Access
    from runc_wrap.node.engines.transaction.taking_back import Node
    from runc_wrap.node.paths import Places

ADD, REMOVE = "add", "remove"
INTERRUPTED = "it was interrupted"  # the whole message of TakenBack, then
# A timer takes the change back if we are killed; longer than all steps together may take.
DEAD_MAN = 1800.0
_PAUSE = 0.2  # seconds
_FAILURES = (EngineError, NotProved, CallFailed, OSError)


class TakenBack(Exception):
    """A step failed, and everything is as it was; the message says why."""


@dataclass(frozen=True)
class Job:
    """What to do. `plan` is made under the lock; `tries`: seconds until it must be confirmed.

    `stops`: a restart that ends containers is wanted all the same.
    """

    places: Places
    where: Where
    handler: str
    action: str
    plan: Callable[[], Plan]
    default: bool = False
    tries: float | None = None
    stops: bool = False


@dataclass(frozen=True)
class Outcome:
    """What was done: the plan, what the canary proved, and until when it must be confirmed."""

    plan: Plan
    proof: str
    until: float | None = None


def run(
    job: Job, node: Node, tell: Callable[[str], None], give_up: Callable[[str], None]
) -> Outcome:
    """Carry out a job completely, or not at all; `tell` gets a sentence for each step.

    `give_up` gets one for each canary of an earlier change that is not looked for any more.
    Raises TakenBack, NotTakenBackError; EngineError and OSError if nothing was changed.
    """
    with taking_back.exclusive(job.places):
        path = journal.path_of(job.places, job.where)
        unfinished.take_back_all(job.places, unfinished.due(job.places), node)
        for one in left_canaries.clear(job.places, node).given_up:
            give_up(one.given_up())
        unfinished.sweep(job.places, node)
        journal.refuse_unfinished(job.places, job.where)
        former = journal.read(path)
        access = node.access(job.where.engine, job.where.config)
        plan = job.plan()
        entry = _entry(job, plan, access, former)
        if _needs_unit(entry) and (why := node.obstacle(entry.unit)):
            raise why
        _refuse_ending(job, entry, access)
        node.arm(entry.timer, DEAD_MAN, taking_back.command(job.places, "--transaction", entry.id))
        work = _Work(job, plan, node, access, path, entry, tell)
        try:
            node.guard_boot(job.places, entry.unit)
            journal.write(path, entry)
        except (EngineError, OSError):
            taking_back.disarm(job.places, entry, node)
            raise
        return _proved_or_undone(work)


def _refuse_ending(job: Job, entry: Journal, access: Access) -> None:
    """Raise EngineError if a restart would end containers that run, and nobody asked for that."""
    if entry.how != taking_back.RESTART or job.stops or not (ended := access.ended_by_restart()):
        return
    raise EngineError(
        f"this change needs a restart of {entry.engine}, which ends {ended}",
        "an engine whose restart ends none",
        "`live-restore` in Docker's daemon.json and a reload, or KillMode=process in the unit, "
        f"first; --stop-containers to end them; or `engine {job.action}` without --restart",
    )


def _needs_unit(entry: Journal) -> bool:
    return entry.how != taking_back.NOTHING


def _entry(job: Job, plan: Plan, access: Access, former: Journal | None) -> Journal:
    name = os.urandom(6).hex()
    return Journal(
        id=name,
        engine=job.where.engine,
        config=str(job.where.config),
        handler=job.handler,
        action=job.action,
        unit=access.unit,
        how=access.reload(loses_default=plan.loses_default),
        how_back=access.reload(loses_default=registration_plan.taken_back(plan).loses_default),
        step=journal.WRITING,
        begun=time.time(),
        boot=journal.boot(),
        by=journal.author(),
        version=None,
        snapshot=file_snapshot.of(plan, name),
        former=journal.summary(former) if former else None,
        proved=_proved_before(job.handler, plan, former) if former else {},
    )


def _proved_before(handler: str, plan: Plan, former: Journal) -> dict[str, str]:
    """Return {other handler: the engine's version with which it was proved}."""
    others = [name for name in registration_state.names(plan.before) if name != handler]
    return {name: version for name in others if (version := former.version_of(name))}


@dataclass
class _Work:
    """A transaction under way; `entry` is what its journal says."""

    job: Job
    plan: Plan
    node: Node
    access: Access
    path: Path
    entry: Journal
    tell: Callable[[str], None]

    def say(self, sentence: str) -> None:
        """Tell it if anybody is there: a terminal that hung up is no reason to stop half-way."""
        with contextlib.suppress(OSError):
            self.tell(sentence)

    def begin(self, step: str, sentence: str, *, restarts: bool = False) -> None:
        """Write the journal before a step."""
        self.say(sentence)
        self.entry = self.entry.at(step, restarts=restarts or self.entry.restarts)
        journal.write(self.path, self.entry)


def _proved_or_undone(work: _Work) -> Outcome:
    try:
        proof = _steps(work)
        until = _kept(work)
    except BaseException as failure:  # a defect of ours, too, must not leave a change unproved
        with taking_back.uninterrupted():
            work.say("taking it back")
            taking_back.take_back(work.job.places, work.path, work.entry, work.node)
        raise _ended_by(failure) from failure
    return Outcome(work.plan, proof, until)


def _ended_by(failure: BaseException) -> TakenBack:
    if isinstance(failure, KeyboardInterrupt):
        return TakenBack(INTERRUPTED)
    is_expected = isinstance(failure, _FAILURES)
    return TakenBack(str(failure) if is_expected else f"{type(failure).__name__}: {failure}")


def _steps(work: _Work) -> str:
    """Do all that may fail; return what was proved. Raises _FAILURES."""
    job, engine = work.job, work.job.where.engine
    work.say(f"writing {job.where.config}")
    file_snapshot.keep_former(work.entry.snapshot)
    plan_execution.carry_out(work.plan)
    work.begin(journal.CHECKING, f"{engine} checks it")
    _checked(work)
    work.entry = replace(work.entry, digests=file_snapshot.digests(_files(work.plan)))
    work.begin(journal.RESTARTING, _restart_sentence(work), restarts=True)
    _restarted(work)
    version = work.access.running_version()
    work.entry = replace(work.entry, ended=time.time(), version=version)
    work.begin(journal.PROVING, "running a canary")
    return _canary(work)


def _files(plan: Plan) -> list[str]:
    """Return what the engine reads of a registration, as `engine status` looks at it."""
    return [str(plan.where.config), *plan.after["files"]]


def _restart_sentence(work: _Work) -> str:
    return (
        f"systemctl {work.entry.how} {work.entry.unit}" if _needs_unit(work.entry) else "asking it"
    )


def _checked(work: _Work) -> None:
    why = work.access.refusal()
    why = why or handlers_wanted.after(work.plan).difference(work.access.configured())
    if why:
        raise EngineError(why, "a configuration that it starts with", "mend its files first")


def _restarted(work: _Work) -> None:
    if _needs_unit(work.entry):
        why = work.node.restart(work.entry.unit, work.entry.how)
        if why:
            raise EngineError(
                why, "an engine that comes back", f"`journalctl -u {work.entry.unit}`"
            )
    taking_back.wait_until_answers(work.node, work.access)
    wanted, until = handlers_wanted.after(work.plan), time.monotonic() + work.node.patience
    while why := wanted.difference(work.access.running()):
        if time.monotonic() > until:
            raise EngineError(
                f"{work.entry.engine} answers, but {why}",
                "what its files say",
                f"`journalctl -u {work.entry.unit}`",
            )
        time.sleep(_PAUSE)


def _canary(work: _Work) -> str:
    """Return what a canary proves.

    After a removal there is nothing of ours to prove: the engine's default must start one. What a
    power cut left of an earlier one goes first: at boot no engine runs that could remove it.
    """
    job = work.job
    with contextlib.suppress(CallFailed):
        work.access.remove_canaries()
    if job.action == REMOVE:
        with work.access.canary(""):
            return "the engine's default starts a container"
    return canary_proof.run(job.places, work.access, job.handler, is_default=job.default)


def _kept(work: _Work) -> float | None:
    """Let the change stay, or begin the time of a try; return that time's end."""
    job, entry = work.job, work.entry
    if job.tries is None:
        journal.finish(work.path, entry)
        taking_back.disarm(job.places, entry, work.node)
        return None
    until = time.time() + job.tries
    work.node.arm(
        entry.try_timer, job.tries, taking_back.command(job.places, "--transaction", entry.id)
    )
    work.entry = entry.at(journal.TRYING, until=until)
    journal.write(work.path, work.entry)
    work.node.disarm(entry.timer)
    return until
