"""One transaction from top to bottom: a change of an engine's configuration, proved or undone.

    checking    the engine's own check of the new files, before they are in place where it can
    writing     the files, as `engine add` without --restart does, and the check of all
    restarting  the engine reads them, answers, and shows the handlers that it should
    proving     a canary through the handler, and its filter as the kernel has it

The files are one change set, and the change is over when its record is closed. What fails is taken
back at once; what a kill interrupts, by the next command, by a timer of systemd, or at boot before
the engines start.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runc_wrap.engines.engine_class import NOTHING, RESTART
from runc_wrap.engines.handler import CallFailed, EngineError
from runc_wrap.engines.registration import registration_plan
from runc_wrap.engines.transaction import canary_proof, transaction_revert
from runc_wrap.engines.transaction.canary_proof import Proof
from runc_wrap.engines.transaction.transaction_revert import Note
from runc_wrap.failure import Failure
from runc_wrap.host import change_set, polling

if TYPE_CHECKING:
    from collections.abc import Callable

    from runc_wrap.engines.engine_class import Engine
    from runc_wrap.engines.registration.registration_plan import Plan
    from runc_wrap.engines.registration.registration_state import Where
    from runc_wrap.engines.transaction.engine_restart import Systemd
    from runc_wrap.node.paths import Places

ADD, REMOVE = "add", "remove"
INTERRUPTED = "it was interrupted"  # the whole message of TakenBack, then
_PAUSE = 0.2  # seconds


class TakenBack(Failure):
    """A step failed, and everything is as it was; the message says why."""

    status = 1


@dataclass(frozen=True)
class Job:
    """What to do. `plan` is made under the lock.

    `stops`: a restart that ends containers is wanted all the same. `look_again`: raises EngineError
    if the change must not stay, asked when the engine has read it.
    """

    places: Places
    where: Where
    handler: str
    action: str
    plan: Callable[[], Plan]
    default: bool = False
    stops: bool = False
    look_again: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Proved:
    """What was done: the plan, and what the canary proved."""

    plan: Plan
    proof: str


def run(job: Job, node: Systemd, tell: Callable[[str], None]) -> Proved:
    """Carry out a job completely, or not at all; `tell` gets a sentence for each step.

    Raises TakenBack, NotTakenBackError; EngineError and OSError if nothing was changed.
    """
    with transaction_revert.exclusive(job.places):
        transaction_revert.everything(job.places, node)
        registration_plan.settle(job.where.change)
        access = node.access(job.where.engine, job.where.config)
        plan = job.plan()
        note = _note(job, plan, access)
        if note.how != NOTHING and (why := node.obstacle(note.unit)):
            raise why
        _refuse_ending(job, note, access)
        if job.action == "add" and (lack := access.lack()):
            raise lack
        work = _Work(job, plan, node, access, note, tell)
        node.guard(job.places, note.unit, note.timer, transaction_revert.command(job.places))
        return _proved_or_undone(work)


def _refuse_ending(job: Job, note: Note, access: Engine) -> None:
    """Raise EngineError if a restart would end containers that run, and nobody asked for that."""
    if note.how != RESTART or job.stops or not (ended := access.ended_by_restart()):
        return
    raise EngineError(
        f"this change needs a restart of {note.engine}, which ends {ended}",
        "an engine whose restart ends none",
        "`live-restore` in Docker's daemon.json and a reload, or KillMode=process in the unit, "
        f"first; --stop-containers to end them; or `engine {job.action}` without --restart",
    )


def _note(job: Job, plan: Plan, access: Engine) -> Note:
    return Note(
        id=os.urandom(6).hex(),
        engine=job.where.engine,
        config=str(job.where.config),
        handler=job.handler,
        action=job.action,
        unit=access.unit,
        how=access.reload(loses_default=plan.loses_default),
        how_back=access.reload(loses_default=plan.undone_loses_default),
        begun=time.time(),
        by=canary_proof.author(),
    )


@dataclass
class _Work:
    """A transaction under way; `has_read`: the engine may have read the new files."""

    job: Job
    plan: Plan
    node: Systemd
    access: Engine
    note: Note
    tell: Callable[[str], None]
    has_read: bool = False

    def say(self, sentence: str) -> None:
        """Tell it if anybody is there: a terminal that hung up is no reason to stop half-way."""
        with contextlib.suppress(OSError):
            self.tell(sentence)


def _proved_or_undone(work: _Work) -> Proved:
    change = work.job.where.change
    try:
        proof, what = _steps(work)
        with transaction_revert.uninterrupted():  # what is over cannot be taken back any more
            change_set.close(change)
    except BaseException as failure:  # our own defect, too, must not leave a change unproved
        with transaction_revert.uninterrupted():
            work.say("taking it back")
            has_read = work.has_read
            if not transaction_revert.take_back(
                work.job.places, change, work.node, has_read=has_read
            ):
                work.node.release(work.job.places, work.note.timer)  # nothing was in place yet
        raise _ended_by(failure) from failure
    with contextlib.suppress(OSError):  # only words depend on it
        canary_proof.write(work.job.where, what)
    work.node.release(work.job.places, work.note.timer)
    return Proved(work.plan, proof)


def _ended_by(failure: BaseException) -> TakenBack:
    if isinstance(failure, KeyboardInterrupt):
        return TakenBack(INTERRUPTED)
    is_expected = isinstance(failure, (Failure, OSError))
    return TakenBack(str(failure) if is_expected else f"{type(failure).__name__}: {failure}")


def _steps(work: _Work) -> tuple[str, Proof]:
    """Do all that may fail; return what was proved. Raises Failure and OSError."""
    job, engine, access = work.job, work.job.where.engine, work.access
    work.say(f"writing {job.where.config}")
    registration_plan.carry_out(
        work.plan, work.note.as_json(), accept=lambda waiting: _refuse(access.refusal_of(waiting))
    )
    work.say(f"{engine} checks it")
    _checked(work)
    digests = canary_proof.digests(_files(work.plan))
    work.say(_restart_sentence(work.note))
    work.has_read = True
    _restarted(work)
    job.look_again()
    version = access.running_version()
    work.say("running a canary")
    what = _canary(work)
    versions = _versions(work, version)
    return what, Proof(work.note.begun, work.note.by, digests, versions)


def _versions(work: _Work, version: str | None) -> dict[str, str]:
    """Return {handler: the engine's version with which it was proved}, now or before."""
    last = canary_proof.read(work.job.where)
    names = work.plan.after.names
    now = {work.job.handler: version} if version else {}
    found = {**(last.versions if last else {}), **now}
    return {name: found[name] for name in names if name in found}


def _files(plan: Plan) -> list[str]:
    """Return what the engine reads of a registration, as `engine status` looks at it."""
    return [str(plan.where.config), *plan.after.files]


def _restart_sentence(note: Note) -> str:
    return f"systemctl {note.how} {note.unit}" if note.how != NOTHING else "asking it"


def _checked(work: _Work) -> None:
    _refuse(work.access.refusal() or work.plan.wanted.difference(work.access.configured()))


def _refuse(why: str) -> None:
    if why:
        raise EngineError(why, "a configuration that it starts with", "mend its files first")


def _restarted(work: _Work) -> None:
    note = work.note
    if note.how != NOTHING and (why := work.node.restart(note.unit, note.how)):
        raise EngineError(why, "an engine that comes back", f"`journalctl -u {note.unit}`")
    transaction_revert.wait_until_answers(work.node, work.access)
    wanted, seconds = work.plan.wanted, work.node.patience
    polling.wait_for(lambda: not wanted.difference(work.access.running()), seconds, _PAUSE)
    if why := wanted.difference(work.access.running()):
        raise EngineError(
            f"{note.engine} answers, but {why}",
            "what its files say",
            f"`journalctl -u {note.unit}`",
        )


def _canary(work: _Work) -> str:
    """Return what a canary proves.

    After a removal the engine's own default must start it. Canaries that an interrupted command
    left are removed first.
    """
    job = work.job
    with contextlib.suppress(CallFailed):
        work.access.remove_probes()
    if job.action == REMOVE:
        with work.access.canary("", job.places.var):
            return "the engine's default starts a container"
    return canary_proof.run(job.places, work.access, job.handler, is_default=job.default)
