"""The installer in a pod: looks at its node, does what is missing, and reports it.

Each step may be done again and changes nothing then. So a new pod goes on where one was killed, and
where there is nothing to do it does nothing. Coming and going are one loop.
"""

import time
from dataclasses import dataclass, replace

from runc_wrap.cluster import archive_copy, next_step, policy_directory, state_file
from runc_wrap.cluster.configmap_policy import PolicyNotTaken, mounted
from runc_wrap.cluster.host_commands import kubectl_requests
from runc_wrap.cluster.host_commands.step_commands import NodeCommands
from runc_wrap.cluster.next_step import NextStep, Seen
from runc_wrap.cluster.node_object import KubernetesNode
from runc_wrap.cluster.node_reporter import Reporter, Shown
from runc_wrap.cluster.step_execution import StepExecution, settle_release
from runc_wrap.host import procfs
from runc_wrap.installation import releases
from runc_wrap.node.paths import Places

_WAS_REMOVED = "runc-wrap was taken off this node"


@dataclass
class InstallerLoop:
    """One node's installer; `removes`: takes everything off instead."""

    places: Places
    commands: NodeCommands
    reporter: Reporter
    removes: bool = False
    _since: float | None = None  # what failed before is tried at once; None: in the first pass

    def run(self) -> NextStep:
        """Do all that there is to do now, and return the state that this leads to.

        Raises Unreachable and Refused before the node is known, SystemdError, OSError, ValueError.
        """
        node = self.reporter.node()
        steps = StepExecution(self.places, self.commands, self.reporter)
        done: dict[str, bool] = {}  # step -> whether it went well last
        is_asked, is_tidy = self._begun(node), False
        kubectl_requests.forget_interrupted(self.places.cluster)
        while True:
            seen = self._look(node, steps, is_asked=is_asked)
            decision = next_step.remove(seen) if self.removes else next_step.decide(seen)
            is_calm = decision.step == next_step.NOTHING and not seen.record.begun
            if not is_tidy and (self.removes or not is_calm):
                is_tidy = True  # a node that needs nothing needs no systemd
                self._wait_for_others(seen)
                continue
            if decision.step == next_step.LOOK:
                steps.ask(seen, removes=self.removes)
                continue
            for step in {step for step in done if done[step]} - {decision.step}:  # seen to be well
                left = state_file.read(self.places).without(step)
                state_file.change(self.places, failed=left)
            if decision.word:
                self._report(decision, seen)
            if decision.step == next_step.NOTHING:
                return decision
            is_again = done.get(decision.step, False)
            done[decision.step] = steps.is_done(decision.step, seen, is_again=is_again)

    def _begun(self, node: KubernetesNode) -> bool:
        """Begin a pass; tell whether a person asks for the handler.

        Then what failed is tried at once, as it is by a new pod: three times an hour by those, as
        evictions must not restart an engine for ever.
        """
        record, now = state_file.read(self.places), time.time()
        is_asked = False
        if not self.removes:
            if record.was_ready:  # before all else: pods may run here
                self.reporter.offer(is_offered=True)
            is_known = next_step.engine(node.engine).is_known  # else nothing is begun
            is_asked = is_known and self.reporter.take_request()
        if is_asked:
            self._since = now
        elif self._since is None:
            tries = record.tries_at(now) if record.waits(now) else None
            self._since = now if tries else 0.0
            if tries:
                state_file.change(self.places, tries=tries)
        return is_asked

    def _wait_for_others(self, seen: Seen) -> None:
        """Wait for what another pod began on the host: it changes what has been seen."""
        if self.removes and seen.release is not None:
            if seen.is_offered:
                state_file.change(self.places, was_ready=True)
            if seen.record.state != next_step.REMOVING:
                self._report(NextStep("", next_step.REMOVING, is_ready=False), seen)
        self.commands.wait_for_others(self.reporter.tell)
        settle_release(self.places)

    def _look(self, node: KubernetesNode, steps: StepExecution, *, is_asked: bool) -> Seen:
        """Return what is seen now. Raises OSError and ValueError for a damaged image."""
        pod, files, problem = self.reporter.pod, {}, ""
        try:
            files = {} if self.removes else mounted(pod.config, pod.profiles)
        except PolicyNotTaken as error:
            problem = str(error)
        return Seen(
            record=state_file.read(self.places),
            engine=next_step.engine(node.engine),
            kernel=node.kernel,
            boot=procfs.boot_id(),
            wanted="" if self.removes else archive_copy.digest(pod.archive),
            release=releases.in_force(self.places.prefix),
            policy=policy_directory.name_of(files),
            policy_problem=problem,
            policy_in_force=policy_directory.in_force(self.places),
            handlers=node.handlers,
            registration=steps.registration,
            now=time.time(),
            since=self._since or 0.0,
            is_asked=is_asked,
            is_offered=self.reporter.is_offered,
            needed=steps.needed,
            left=steps.left,
        )

    def _report(self, decision: NextStep, seen: Seen) -> None:
        """Tell a state, and remember in which boot the handler was in force, or was taken away."""
        if decision.word == next_step.REMOVED:
            policy_directory.forget(self.places)
        if decision.word in (next_step.REMOVING, next_step.REMOVED):
            self.reporter.report(decision, Shown(), _WAS_REMOVED)
            return
        found = seen.registration
        if decision.is_ready:
            decision = replace(decision, is_installed=True)
            state_file.change(self.places, boot=seen.boot, was_ready=True)
        elif decision.word == next_step.EDITED and found and found.word == next_step.GONE:
            state_file.change(self.places, boot="")
        version = archive_copy.version(self.reporter.pod.archive)
        if seen.installed not in (None, seen.wanted):  # an earlier one is in force
            version = seen.record.release_version
        engine = f"{seen.engine.name} {seen.engine.version}".strip()
        proved = f"runc-wrap {version}: a canary of {engine} ran under the decided filter"
        self.reporter.report(decision, Shown(version, engine, seen.policy_in_force or ""), proved)
