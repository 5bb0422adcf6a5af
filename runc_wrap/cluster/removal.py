"""Taking everything off a node again, from within a pod: through the node's own `uninstall`.

As long as a container needs the handler nothing is taken off but the label `ready`: the handler
stays in force, and the RuntimeClass goes on selecting the node, as a kubelet that starts rejects
running pods whose selector the node does not meet. When none needs it the node is selected no more,
is looked at again, as a pod may have come meanwhile, and then everything goes.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.cluster import archive_copy, next_step, node_record, node_reporter
from runc_wrap.cluster.cluster_policy import policy_files
from runc_wrap.cluster.next_step import Attempt, Decision
from runc_wrap.cluster.node_reporter import Shown

if TYPE_CHECKING:
    from runc_wrap.cluster.host_commands.host_command import Ended
    from runc_wrap.cluster.host_commands.node_commands import NodeCommands
    from runc_wrap.cluster.node_reporter import Reporter
    from runc_wrap.node.paths import Places

_UNREGISTER = "unregister"
_NEEDED = "something on the node needs it still; it goes on when that is gone"
_LONGEST = 600  # characters of a sentence
# What a person at the node may do, and a pod cannot: as uninstall and engine remove say it.
_AT_THE_NODE = re.compile(r"[,;]? or (use )?`?--hand-over\b[^.;]*")


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
        found = self.reporter.node().engine
        if not next_step.is_known(found):
            return self._told(next_step.REMOVING, next_step.NO_VERSION, is_installed=None)
        engine, version, _ = next_step.engine(found)
        self.commands.forget_interrupted()
        was_gone = self._is_gone()
        if not was_gone:  # otherwise nothing is written to the node anew
            self._begin()
        self._wait_for_others()
        self.commands.forget_old()
        if self._is_gone():
            return self._told(next_step.REMOVED, is_installed=False)
        if was_gone:  # an installation ended meanwhile
            self._begin()
        if why := self.commands.remaining() or self._withdrawn():
            return self._needed(why)
        why = _AT_THE_NODE.sub("", self._removed(engine, version))
        if self._is_gone():
            return self._told(next_step.REMOVED, why, is_installed=False)
        if self.commands.remaining():  # a pod that came before the node was selected no more
            return self._needed(why)
        return self._told(next_step.REMOVING, why, is_installed=False)

    def _needed(self, why: str) -> Decision:
        """Have the node selected: a kubelet that starts would reject the pods that run."""
        was_ready = node_record.proved(self.places).was_ready
        return self._told(next_step.REMOVING, why, is_installed=was_ready or None)

    def _begin(self) -> None:
        """Say what is done; the reason stays if it has one. The node is selected as before."""
        self._told(next_step.REMOVING, self._known(), is_installed=None)

    def _known(self) -> str:
        last = node_record.state(self.places)
        return str(last.get("reason")) if last.get("state") == next_step.REMOVING else ""

    def _withdrawn(self) -> str:
        """Have the node selected no more; return why that is not enough to go on.

        A pod may have come between the look and the change.
        """
        self._told(next_step.REMOVING, self._known(), is_installed=False)
        if not self.reporter.is_heard:
            return "the API server was not told yet that the RuntimeClass selects this node no more"
        return self.commands.remaining()

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
        return "" if self._is_gone() else _left(ended) if ended.is_well else ended.reason

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

    def _told(self, word: str, why: str = "", *, is_installed: bool | None) -> Decision:
        decision = Decision(next_step.NOTHING, word, why, is_ready=False)
        note = "runc-wrap was taken off this node"
        self.reporter.report(decision, Shown("", "", ""), note, is_installed=is_installed)
        return decision


def _left(ended: Ended) -> str:
    """Return why `uninstall` left something for a later run."""
    document = ended.document if isinstance(ended.document, dict) else {}
    left = document.get("left")
    found = [one for one in left if isinstance(one, dict)] if isinstance(left, list) else []
    told = "; ".join(f"{one.get('what')}: {one.get('why')}" for one in found)
    return safe_text.name(told, _LONGEST) or _NEEDED
