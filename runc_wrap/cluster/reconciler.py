"""The installer in a pod: looks at its node, does what is missing, and has it told.

Everything that it knows is on the node (PREFIX/var/cluster) or in the API. So a new pod goes on
where one was killed, and where there is nothing to do it does nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.cluster import archive_copy, next_step, node_record, node_reporter
from runc_wrap.cluster.cluster_policy import policy_files
from runc_wrap.cluster.next_step import Attempt, Seen
from runc_wrap.cluster.node_reporter import Shown
from runc_wrap.host import procfs

if TYPE_CHECKING:
    from runc_wrap.cluster.cluster_policy.policy_files import Files
    from runc_wrap.cluster.host_commands.host_command import Ended
    from runc_wrap.cluster.host_commands.node_commands import NodeCommands
    from runc_wrap.cluster.kubernetes_api.node_object import Node
    from runc_wrap.cluster.next_step import Decision
    from runc_wrap.cluster.node_reporter import Pod, Reporter
    from runc_wrap.node.paths import Places

_DOING = {
    next_step.INSTALL: "checking the node, and installing the release",
    next_step.POLICY: "checking the policy, and putting it in force",
    next_step.REGISTER: "registering with the engine, and proving it by a canary",
    next_step.PROVE: "proving the handler by a canary",
}
_WORDS = {  # the state after each step that failed
    next_step.INSTALL: next_step.FAILED,
    next_step.POLICY: next_step.FAILED,
    next_step.REGISTER: next_step.REVERTED,
    next_step.PROVE: next_step.UNPROVED,
}
_AGAIN = "it succeeded, and yet nothing is seen of it"


class _Failure(NamedTuple):
    """Which state a step that failed leads to, and why."""

    word: str
    reason: str


@dataclass
class Installer:
    """One node's installer."""

    places: Places
    commands: NodeCommands
    reporter: Reporter
    _engine: str = ""
    _registration: next_step.Registration | None = None

    @property
    def _pod(self) -> Pod:
        return self.reporter.pod

    def run(self) -> Decision:
        """Do all that there is to do now, and return the state that this leads to.

        Raises Unreachable and Refused before the node is known, SystemdError, OSError, ValueError.
        """
        self._registration = None
        node, done, well = self.reporter.node(), set[str](), set[str]()
        if node_record.proved(self.places).was_ready:  # before all else: pods may run here
            self.reporter.offer()
        self.commands.forget_interrupted()
        is_tidy = False  # a node where nothing is to be done needs no systemd
        while True:
            seen = self._look(node)
            decision = next_step.decide(seen)
            if decision.step != next_step.NOTHING and not is_tidy:
                is_tidy, waited = True, self._waited_for_others()
                self.commands.forget_old()
                if waited:
                    continue
            if decision.step == next_step.LOOK:
                self._registration = self.commands.registration(self._engine)
                continue
            for step in well - {decision.step}:
                node_record.succeeded(self.places, step)
            self._note_boot(decision, seen)
            self._report(decision, seen)
            if decision.step == next_step.NOTHING:
                node_record.end_installation(self.places)
                return decision
            if self._do(decision.step, seen, is_again=decision.step in done):
                well.add(decision.step)
            else:
                well.discard(decision.step)
            done.add(decision.step)

    def _waited_for_others(self) -> bool:
        """Wait for what a pod of another image, or a removal, began here; tell whether there was.

        Its install.sh runs from the archive that it laid down, and changes what has been seen.
        """
        archive = archive_copy.place(self._pod.archive, self.places)
        others = self.commands.installing(archive)
        if others:
            self.reporter.tell(node_reporter.waiting_for(others))
        self.commands.wait(others)
        return bool(others)

    def _look(self, node: Node) -> Seen:
        """Return what is seen now. Raises OSError and ValueError for a damaged image."""
        self._engine, version, obstacle = next_step.engine(node.engine)
        installed, proved = node_record.installed(self.places), node_record.proved(self.places)
        files, problem = self._mounted()
        return Seen(
            now=time.time(),
            obstacle=obstacle,
            wanted=archive_copy.digest(self._pod.archive),
            installed=installed.archive,
            proved=proved.archive,
            is_other_release=installed.release != archive_copy.release_in_force(self.places),
            policy=policy_files.digest(files),
            policy_in_force=policy_files.record(self.places).digest or None,
            machine=f"{self._engine} {version}, kernel {node.kernel}",
            policy_machine=node_record.applied(self.places).machine,
            policy_problem=problem,
            policy_edit="" if problem else policy_files.edit(self.places, files),
            engine_version=version,
            boot=procfs.boot_id(),
            well_boot=proved.boot,
            registration=self._registration,
            handlers=node.handlers,
            attempts=node_record.attempts(self.places),
            is_engine_known=next_step.is_known(node.engine),
        )

    def _mounted(self) -> tuple[Files, str]:
        try:
            return policy_files.mounted(self._pod.config, self._pod.profiles), ""
        except policy_files.PolicyNotTaken as error:
            return {}, str(error)

    def _do(self, step: str, seen: Seen, *, is_again: bool) -> bool:
        """Do one step, remember it if it failed, and return whether it went well.

        A step that succeeded and yet seems to be missing has failed: an engine that is restarted
        again and again is worse than none. So former failures are forgotten only when it is seen.
        """
        self.reporter.tell(_DOING[step])
        if is_again:
            failure: _Failure | None = _Failure(_WORDS[step], _AGAIN)
        else:
            failure = {
                next_step.INSTALL: self._install,
                next_step.POLICY: self._put_policy_in_force,
                next_step.REGISTER: self._register,
                next_step.PROVE: self._prove,
            }[step](seen)
        if failure is None:
            return True
        self.reporter.tell(f"that failed: {failure.reason}")
        key = next_step.key_of(seen, step)
        node_record.failed(self.places, Attempt(step, key, time.time(), 1, *failure))
        return False

    def _install(self, seen: Seen) -> _Failure | None:
        try:
            archive = archive_copy.lay(self._pod.archive, self.places)
        except (OSError, ValueError) as error:
            return _Failure(next_step.FAILED, f"the release cannot be laid down: {error}")
        brings = self._brings_policy(seen)
        ended = self.commands.preflight(archive, self._engine, brings_policy=brings)
        is_refused = not ended.is_well and ended.document is not None
        complaint = ""
        if ended.is_well:
            laid = self.commands.lay_policy(archive) if brings else ended
            complaint = "" if laid.is_well else f"; the policy was not taken: {laid.reason}"
            node_record.begin_installation(self.places)
            ended = self.commands.install(archive)
        if ended.is_well:
            self._record_release(seen)
        archive_copy.remove(self.places)
        self._registration = None
        word = next_step.REFUSED if is_refused else next_step.FAILED
        return None if ended.is_well else _Failure(word, f"{ended.reason}{complaint}")

    def _record_release(self, seen: Seen) -> None:
        """Remember which release is in force now, and that no canary has proved it since.

        Also one that was proved before: what broke the canary of the release between them may be
        the node. First the proof goes, so that a pod that ends between the two leaves none.
        """
        node_record.prove(self.places, None, seen.well_boot)
        release = archive_copy.release_in_force(self.places)
        version = archive_copy.version(self._pod.archive)
        node_record.install(self.places, seen.wanted, release, version)

    def _brings_policy(self, seen: Seen) -> bool:
        """Tell whether the policy comes with a first release, which may need the runtime it names.

        A policy that does not check keeps no release off: the step POLICY says what is wrong.
        """
        if archive_copy.release_in_force(self.places) or seen.policy_problem or seen.policy_edit:
            return False
        try:
            files = policy_files.mounted(self._pod.config, self._pod.profiles)
            policy_files.write_candidate(self.places, files)
        except (policy_files.PolicyNotTaken, OSError) as error:
            self.reporter.tell(str(error))
            return False
        return True

    def _put_policy_in_force(self, seen: Seen) -> _Failure | None:
        try:
            files = policy_files.mounted(self._pod.config, self._pod.profiles)
            policy_files.write_candidate(self.places, files)
        except (policy_files.PolicyNotTaken, OSError) as error:
            return _Failure(next_step.FAILED, str(error))
        ended = self.commands.apply()
        if not ended.is_well:
            return _Failure(next_step.FAILED, ended.findings)
        document = ended.document if isinstance(ended.document, dict) else {}
        remarks = document.get("remarks")
        told = remarks if isinstance(remarks, list) else []
        node_record.apply(self.places, seen.machine, told)
        note = f"policy {policy_files.digest(files)[:12]}, for {seen.machine}"
        self.reporter.add_event("PolicyApplied", note)
        return None

    def _register(self, seen: Seen) -> _Failure | None:
        self._registration = None
        return self._proved(self.commands.register(self._engine), next_step.REGISTER, seen)

    def _prove(self, seen: Seen) -> _Failure | None:
        self._registration = None  # which says whether the engine is the one that was proved
        return self._proved(self.commands.prove(self._engine), next_step.PROVE, seen)

    def _proved(self, ended: Ended, step: str, seen: Seen) -> _Failure | None:
        """Remember that a canary ran with the release that is in force now.

        That of a command which a pod before began may have run with another one: PROVE follows.
        """
        if not ended.is_well:
            return _Failure(_WORDS[step], ended.reason)
        archive = None if ended.was_running else seen.installed
        node_record.prove(self.places, archive, seen.boot)
        return None

    def _note_boot(self, decision: Decision, seen: Seen) -> None:
        """Remember in which boot the handler was in force, or that somebody has taken it away."""
        found = seen.registration
        if decision.is_ready:
            node_record.prove(self.places, seen.proved, seen.boot, is_ready=True)
        elif decision.word == next_step.EDITED and found is not None and found.is_gone:
            node_record.prove(self.places, seen.proved, "")

    def _report(self, decision: Decision, seen: Seen) -> None:
        version = archive_copy.version(self._pod.archive)
        if seen.installed not in (None, seen.wanted):  # an earlier one is in force
            version = node_record.installed(self.places).version
        engine = f"{self._engine} {seen.engine_version}".strip()
        proved = f"runc-wrap {version}: a canary of {engine} ran under the decided filter"
        remarks = node_record.applied(self.places).remarks
        shown = Shown(version, engine, seen.policy_in_force or "", [*remarks])
        is_installed = node_record.proved(self.places).was_ready or None  # nor taken off here
        self.reporter.report(decision, shown, proved, is_installed=is_installed)
