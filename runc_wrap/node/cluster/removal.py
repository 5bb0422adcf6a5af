"""Taking everything off a node again, from within a pod: through the node's own `uninstall`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runc_wrap.node.cluster import archive_copy, next_step, node_record, node_reporter
from runc_wrap.node.cluster.cluster_policy import policy_files
from runc_wrap.node.cluster.next_step import Attempt, Decision
from runc_wrap.node.cluster.node_reporter import Shown

if TYPE_CHECKING:
    from runc_wrap.node.cluster.host_commands.node_commands import NodeCommands
    from runc_wrap.node.cluster.node_reporter import Reporter
    from runc_wrap.node.paths import Places

_UNREGISTER = "unregister"
_NEEDED = "running containers need it still; it goes on when they are gone"


@dataclass(frozen=True)
class Remover:
    """One node's remover."""

    places: Places
    commands: NodeCommands
    reporter: Reporter

    def run(self) -> Decision:
        """Remove what can be removed now, and return the state that this leads to.

        Raises Unreachable and Refused before the node is known, and SystemdError.
        """
        engine, version, _ = next_step.engine(self.reporter.node().engine)
        self.commands.forget_interrupted()
        was_gone = self._is_gone()
        if not was_gone:  # otherwise nothing is written to the node anew
            self._keep_pods_off()
        self._wait_for_others()
        self.commands.forget_old()
        if self._is_gone():
            return self._told(next_step.REMOVED)
        if was_gone:  # an installation ended meanwhile
            self._keep_pods_off()
        why = self._removed(engine, version)
        return self._told(next_step.REMOVED if self._is_gone() else next_step.REMOVING, why)

    def _keep_pods_off(self) -> None:
        """Take the node's label first, so that no new pod comes; the reason stays if it has one."""
        last = node_record.state(self.places)
        known = str(last.get("reason")) if last.get("state") == next_step.REMOVING else ""
        self._told(next_step.REMOVING, known)

    def _wait_for_others(self) -> None:
        """Wait for what a pod before began: it may install what is removed meanwhile."""
        others = self.commands.changing(is_gone=self._is_gone())
        if others:
            self.reporter.tell(node_reporter.waiting_for(others))
        self.commands.wait(others)

    def _is_gone(self) -> bool:
        return archive_copy.release_in_force(self.places) is None

    def _removed(self, engine: str, version: str) -> str:
        """Remove, and return why something is left. Raises SystemdError."""
        if engine and (why := self._unregistered(engine, version)):
            return why
        ended = self.commands.uninstall(purges=policy_files.is_all_ours(self.places))
        return "" if self._is_gone() else _NEEDED if ended.is_well else ended.reason

    def _unregistered(self, engine: str, version: str) -> str:
        """Remove the handler, and return why it failed: each attempt may restart the engine."""
        if not self.commands.registration(engine).is_registered:
            return ""
        now, key = time.time(), f"{engine} {version}"
        for last in node_record.attempts(self.places):
            if (last.step, last.key) == (_UNREGISTER, key) and now < last.again:
                return last.reason
        ended = self.commands.unregister(engine)
        if ended.is_well:
            node_record.succeeded(self.places, _UNREGISTER)
            return ""
        failed = Attempt(_UNREGISTER, key, now, 1, next_step.REMOVING, ended.reason)
        node_record.failed(self.places, failed)
        return ended.reason

    def _told(self, word: str, why: str = "") -> Decision:
        decision = Decision(next_step.NOTHING, word, why, is_ready=False)
        self.reporter.report(decision, Shown("", "", ""), "runc-wrap was taken off this node")
        return decision
