"""One transaction from top to bottom: a change of an engine's configuration, proved or undone.

    checking    the engine's own check of the new files, before they are in place where it can
    writing     the files, as `engine add` without --restart does, and the check of all
    restarting  the engine reads them, answers, and shows the handlers that it should
    proving     a canary through the handler, and its filter as the kernel has it

The files are one change set, and the change is over when its record is closed. What fails is taken
back at once; what a kill interrupts, by the next command, by a timer of systemd, or at boot before
the engines start.
"""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from runc_wrap.engines.engine_class import NOTHING, RESTART, Engine
from runc_wrap.engines.handler import CallFailed, EngineError
from runc_wrap.engines.registration import registration_plan
from runc_wrap.engines.registration.registration_plan import Plan
from runc_wrap.engines.registration.registration_state import Where
from runc_wrap.engines.transaction import (
    canary_proof,
    engine_restart,
    proof_record,
    transaction_record,
    transaction_revert,
)
from runc_wrap.failure import Failure
from runc_wrap.host import change_set, polling
from runc_wrap.node.paths import Places

ADD, REMOVE = "add", "remove"
INTERRUPTED = "it was interrupted"  # the whole message of TakenBack, then


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


def run(job: Job, node: engine_restart.Systemd, tell: Callable[[str], None]) -> tuple[Plan, str]:
    """Carry out a job completely, or not at all; `tell` gets a sentence for each step.

    Return the plan, and what the canary proved.

    Raises TakenBack, NotTakenBackError; EngineError and OSError if nothing was changed.
    """
    with transaction_record.exclusive(job.places):
        transaction_revert.everything(job.places, node)
        registration_plan.settle(job.where.change)
        access = node.access(job.where.engine, job.where.config)
        plan = job.plan()
        note = _note(job, plan, access)
        if note.how != NOTHING:
            node.check_unit(note.unit)
        if note.how == RESTART and not job.stops and (ended := access.ended_by_restart()):
            raise EngineError(
                f"this change needs a restart of {note.engine}, which ends {ended}; try: "
                "`live-restore` in daemon.json and a reload, or KillMode=process in the unit; "
                f"--stop-containers to end them; or `engine {job.action}` without --restart"
            )
        if job.action == ADD:
            access.check_probes()
        node.guard(job.places, note.unit, note.timer, engine_restart.revert_command(job.places))
        return _Work(job, plan, node, access, note, tell).proved_or_undone()


def _note(job: Job, plan: Plan, access: Engine) -> transaction_record.Note:
    return transaction_record.Note(
        id=os.urandom(6).hex(),
        engine=job.where.engine,
        config=str(job.where.config),
        handler=job.handler,
        action=job.action,
        unit=access.unit,
        how=access.reload(loses_default=plan.loses_default),
        how_back=access.reload(loses_default=plan.undone_loses_default),
        begun=time.time(),
        by=proof_record.author(),
    )


@dataclass
class _Work:
    """A transaction under way; `has_read`: the engine may have read the new files."""

    job: Job
    plan: Plan
    node: engine_restart.Systemd
    access: Engine
    note: transaction_record.Note
    tell: Callable[[str], None]
    has_read: bool = False

    def proved_or_undone(self) -> tuple[Plan, str]:
        """Do all steps; take them back if one fails. Raises TakenBack and NotTakenBackError."""
        places, where = self.job.places, self.job.where
        try:
            proof, what = self._steps()
            with engine_restart.uninterrupted():  # what is over cannot be taken back any more
                change_set.close(where.change)
        except BaseException as failure:  # our own defect, too, must not leave a change unproved
            with engine_restart.uninterrupted():
                self._say("taking it back")
                if not transaction_revert.take_back(
                    places, where.change, self.node, has_read=self.has_read
                ):
                    self.node.release(places, self.note.timer)  # nothing was in place yet
            raise _ended_by(failure) from failure
        with contextlib.suppress(OSError):  # only words depend on it
            proof_record.write(where, what)
        self.node.release(places, self.note.timer)
        return self.plan, proof

    def _say(self, sentence: str) -> None:
        """Tell it if anybody is there: a terminal that hung up is no reason to stop half-way."""
        with contextlib.suppress(OSError):
            self.tell(sentence)

    def _steps(self) -> tuple[str, proof_record.Proof]:
        """Do all that may fail; return what was proved. Raises Failure and OSError."""
        job, access, note, wanted = self.job, self.access, self.note, self.plan.wanted
        self._say(f"writing {note.config}")
        registration_plan.carry_out(
            self.plan, asdict(note), accept=lambda waiting: _refuse(access.refusal_of(waiting))
        )
        self._say(f"{note.engine} checks it")
        _refuse(access.refusal() or wanted.difference(access.configured()))
        # what the engine reads of a registration, as `engine status` looks at it
        digests = proof_record.digests([note.config, *self.plan.after.files])
        self._say(f"systemctl {note.how} {note.unit}" if note.how != NOTHING else "asking it")
        self.has_read = True
        self._restart()
        job.look_again()
        version = access.running_version()
        self._say("running a canary")
        proof = self._canary()
        last = proof_record.read(job.where)
        versions = (last.versions if last else {}) | ({job.handler: version} if version else {})
        known = {name: versions[name] for name in self.plan.after.names if name in versions}
        return proof, proof_record.Proof(note.begun, note.by, digests, known)

    def _restart(self) -> None:
        note, access, wanted = self.note, self.access, self.plan.wanted
        if note.how != NOTHING and (why := self.node.restart(note.unit, note.how)):
            raise EngineError(f"{why}{access.journal}")
        engine_restart.wait_until_answers(self.node, access)
        polling.wait_for(lambda: not wanted.difference(access.running()), self.node.patience)
        if why := wanted.difference(access.running()):
            raise EngineError(f"{note.engine} answers, but {why}{access.journal}")

    def _canary(self) -> str:
        """Return what a canary proves; after a removal the engine's own default starts it.

        Canaries that an interrupted command left are removed first.
        """
        job = self.job
        with contextlib.suppress(CallFailed):
            self.access.remove_probes()
        if job.action == REMOVE:
            with self.access.canary("", job.places.var):
                return "the engine's default starts a container"
        return canary_proof.run(job.places, self.access, job.handler, is_default=job.default)


def _ended_by(failure: BaseException) -> TakenBack:
    if isinstance(failure, KeyboardInterrupt):
        return TakenBack(INTERRUPTED)
    is_expected = isinstance(failure, (Failure, OSError))
    return TakenBack(str(failure) if is_expected else f"{type(failure).__name__}: {failure}")


def _refuse(why: str) -> None:
    if why:
        raise EngineError(f"{why}; try: mend its files first")
