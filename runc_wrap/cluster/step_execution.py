"""The steps of one pass over a node: each is done on the host, and may be done again.

A step that fails raises StepFailure.
"""

import time
from dataclasses import dataclass

from runc_wrap import safe_text
from runc_wrap.cluster import archive_copy, next_step, policy_directory, state_file
from runc_wrap.cluster.configmap_policy import PolicyNotTaken, mounted
from runc_wrap.cluster.host_commands.step_commands import NodeCommands
from runc_wrap.cluster.host_commands.transient_unit import CommandEnd
from runc_wrap.cluster.next_step import Registration, Seen
from runc_wrap.cluster.node_reporter import Reporter
from runc_wrap.installation import releases
from runc_wrap.node.paths import Places

DOING = {
    next_step.INSTALL: "checking the node, and installing the release",
    next_step.POLICY: "checking the policy, and putting it in force",
    next_step.REGISTER: "registering with the engine, and proving it by a canary",
    next_step.PROVE: "proving the handler by a canary",
    next_step.WITHDRAW: "having the RuntimeClass select this node no more",
    next_step.UNREGISTER: "removing the handler from the engine",
    next_step.UNINSTALL: "removing the installation",
}
WORDS = {  # the state after each step that failed
    next_step.INSTALL: next_step.FAILED,
    next_step.POLICY: next_step.FAILED,
    next_step.REGISTER: next_step.REVERTED,
    next_step.PROVE: next_step.UNPROVED,
    next_step.UNREGISTER: next_step.REMOVING,
}
_UNHEARD = "the API server does not know yet that the RuntimeClass no longer selects this node"
_NEEDED = "something on the node needs it still; it goes on when that is gone"
_AGAIN = "it succeeded, and yet nothing is seen of it"
_LONGEST = 600  # characters of a sentence


class StepFailure(Exception):
    """Why a step failed; `word` is the state that this leads to if it is not that of WORDS."""

    def __init__(self, reason: str, word: str = "") -> None:
        super().__init__(reason)
        self.word = word


@dataclass
class StepExecution:
    """One pass; `registration`, `needed` and `left` are what `next_step.Seen` has of it."""

    places: Places
    commands: NodeCommands
    reporter: Reporter
    registration: Registration | None = None
    needed: str | None = None
    left: str = ""

    def do(self, step: str, seen: Seen) -> None:
        """Do one step. Raises StepFailure and SystemdError."""
        if step in (next_step.REGISTER, next_step.PROVE):
            self._proved(self.commands.engine(step, seen.engine.name), seen)
            return
        {
            next_step.INSTALL: self._install,
            next_step.POLICY: self._put_policy_in_force,
            next_step.WITHDRAW: self._withdraw,
            next_step.UNREGISTER: self._unregister,
            next_step.UNINSTALL: self._uninstall,
        }[step](seen)

    def is_done(self, step: str, seen: Seen, *, is_again: bool) -> bool:
        """Do one step, remember it if it failed, and return whether it went well.

        A step that succeeded and yet seems to be missing has failed: an engine that is restarted
        again and again is worse than none. So former failures are forgotten only when it is seen.
        """
        self.reporter.tell(DOING[step])
        word, reason = "", _AGAIN
        if not is_again:
            try:
                self.do(step, seen)
            except StepFailure as failure:
                word, reason = failure.word, str(failure)
            else:
                return True
        self.reporter.tell(f"that failed: {reason}")
        key, word = next_step.key_of(seen, step), word or WORDS[step]
        new = state_file.Attempt(step, key, time.time(), 1, word, reason)
        failed = state_file.read(self.places).with_failure(new)
        state_file.change(self.places, failed=failed)
        return False

    def ask(self, seen: Seen, *, removes: bool) -> None:
        """Ask the host what is not known yet. Raises SystemdError."""
        if removes and self.needed is None:
            self.needed = self.commands.remaining()
        else:
            self.registration = self.commands.registration(seen.engine.name)

    def _install(self, seen: Seen) -> None:
        """Install the image's release; the first one together with the policy.

        The policy may name the runtime that the node has. One that does not check keeps no release
        off: the step POLICY says what is wrong.
        """
        policy = None if seen.release or seen.policy_problem else self._write_policy()
        try:
            archive = archive_copy.lay(self.reporter.pod.archive, self.places)
        except (OSError, ValueError) as error:
            raise StepFailure(f"the release cannot be laid down: {error}") from error
        ended = self.commands.preflight(archive, seen.engine.name, policy)
        word = "" if ended.document is None else next_step.REFUSED
        complaint = ""
        if ended.is_well:
            complaint = "".join(f"; the policy was not taken: {it}" for it in ended.texts("policy"))
            is_known = seen.record.release == seen.release
            before = {} if is_known else {"release": seen.release, "archive": None}
            version = archive_copy.version(self.reporter.pod.archive)
            state_file.change(self.places, **before, begun=(seen.wanted, version))
            word, ended = "", self.commands.install(archive)
            settle_release(self.places, is_well=ended.is_well)
        archive_copy.remove(self.places)
        self.registration = None
        if not ended.is_well:
            raise StepFailure(f"{ended.reason}{complaint}", word)

    def _write_policy(self) -> str | None:
        """Write the mounted policy into var/cluster. Return its name, None if it cannot."""
        try:
            pod = self.reporter.pod
            return policy_directory.write(self.places, mounted(pod.config, pod.profiles))
        except (PolicyNotTaken, OSError) as error:
            self.reporter.tell(str(error))
            return None

    def _put_policy_in_force(self, seen: Seen) -> None:
        state_file.change(self.places, machine="")  # killed, it may have compiled another policy
        name = self._write_policy()
        if name is None:
            raise StepFailure("it cannot be written; the pod's log says why")
        ended = self.commands.apply(name)
        if not ended.is_well:
            raise StepFailure(ended.findings)
        remarks = ended.texts("remarks")
        state_file.change(self.places, machine=seen.machine, remarks=remarks)

    def _proved(self, ended: CommandEnd, seen: Seen) -> None:
        """Remember that a canary ran with the release that is in force now."""
        self.registration = None  # which says whether the engine is the one that was proved
        if not ended.is_well:
            raise StepFailure(ended.reason)
        state_file.change(self.places, proved=seen.installed, boot=seen.boot)

    def _withdraw(self, _: Seen) -> None:
        """Have the node selected no more, and look again: a pod may have come until then."""
        if self.reporter.offer(is_offered=False):
            self.needed = None
        else:
            self.left = _UNHEARD

    def _unregister(self, seen: Seen) -> None:
        self.registration = None
        ended = self.commands.engine(next_step.UNREGISTER, seen.engine.name)
        if not ended.is_well:
            self.needed = None  # a pod may have come
            raise StepFailure(ended.reason)

    def _uninstall(self, _: Seen) -> None:
        """Remove the installation, and look again what needs it if it is still there."""
        own = any(not path.is_dir() for path in self.places.etc.rglob("*"))
        ended = self.commands.uninstall(purges=not own)
        why = _left(ended) if ended.is_well else ended.reason
        is_gone = releases.in_force(self.places.prefix) is None
        self.left = "" if is_gone and ended.is_well else why
        self.needed = None


def settle_release(places: Places, *, is_well: bool = False) -> None:
    """Remember the result of an installation that is over, as not proved by a canary.

    Without `is_well` it failed, or nobody saw its end: it counts if another release is in force.
    An archive that was proved before is proved again: the node itself may have broken the canary of
    the release in between.
    """
    record, release = state_file.read(places), releases.in_force(places.prefix)
    if record.begun and (is_well or release != record.release):
        archive, version = record.begun
        state_file.change(places, archive=archive, release=release, release_version=version,
                           begun=None, proved=None)  # fmt: skip
    elif record.begun:
        state_file.change(places, begun=None)


def _left(ended: CommandEnd) -> str:
    """Return why `uninstall` left something for a later run."""
    left = ended.members.get("left")
    found = [one for one in left if isinstance(one, dict)] if isinstance(left, list) else []
    reasons = "; ".join(f"{one.get('what')}: {one.get('why')}" for one in found)
    return safe_text.name(reasons, _LONGEST) or _NEEDED
