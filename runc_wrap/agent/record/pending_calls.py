"""Calls that wait until every process that may have made them is known, and then are counted."""

from runc_wrap.agent.record.source_check import SourceCheck
from runc_wrap.evidence.attribution.child_namespaces import Clones
from runc_wrap.evidence.attribution.process_lifetimes import Runtimes
from runc_wrap.evidence.attribution.process_tree import ProcessTree
from runc_wrap.evidence.sightings import AUDIT, Sighting
from runc_wrap.evidence.sources.audit_netlink import Counted
from runc_wrap.evidence.store.call_counts import ELSEWHERE, PROGRAM
from runc_wrap.evidence.store.evidence_changes import EvidenceWriter
from runc_wrap.hotpath.ledger_file import Key

_MOST_DOUBTFUL = 256  # calls that wait for news of processes


class PendingCalls:
    """Calls of processes that the tree may not know yet, and of those that may be the runtime.

    `clones` are those whose flags are not known yet.
    """

    def __init__(
        self, prefix: str, tree: ProcessTree, store: EvidenceWriter, check: SourceCheck
    ) -> None:
        self._tree = tree
        self._store = store
        self._check = check
        self._runtimes = Runtimes(prefix)
        self.records: list[Counted] = []
        self._doubtful: list[tuple[Key, Sighting]] = []
        self.clones = Clones(tree.namespaces, store.add, tree.news.has_told)

    @property
    def are_waiting(self) -> bool:
        """Tell whether any call waits for news of processes."""
        return bool(self.records or self._doubtful)

    @property
    def are_too_many(self) -> bool:
        """Tell whether they have to be counted by what is known now."""
        return len(self._doubtful) > _MOST_DOUBTFUL

    def are_told(self) -> bool:
        """Tell whether the tree knows every process that may have made the calls."""
        waiting = [one.one.time for one in self.records[-1:]]
        waiting += [one.time for _, one in self._doubtful[-1:]]
        return bool(waiting) and self._tree.news.has_told(max(waiting))

    def add(self, key: Key | None, sighting: Sighting) -> bool:
        """Count a listener's call; return whether it waits, as it may be the runtime's own."""
        if key is None or not self._runtimes.may_be(sighting.exe):
            self._store.add(key, sighting)
            return False
        self._doubtful.append((key, sighting))
        return True

    def settle(self) -> bool:
        """Count all that wait by what is known now; return whether there is something to write."""
        records, self.records = self.records, []
        doubtful, self._doubtful = self._doubtful, []
        is_changed = bool(doubtful)
        for one, times, last in records:
            self._tree.namespaces.note(one)
            is_changed |= self._count(self._tree.container_of(one.pid, one.time), one, times, last)
        for key, one in doubtful:
            self._count(key, one)
        return is_changed

    def _count(self, key: Key | None, one: Sighting, times: int = 1, last: int = 0) -> bool:
        """Count a call, apart if the runtime made it to create the container, or may have.

        Return False if it was our own test of the sources.
        """
        if one.source == AUDIT and self._check.is_own(one):
            self._store.cover(one, last)
            return False
        if key is None and one.source == AUDIT and self._tree.is_elsewhere(one.pid, one.time):
            self._store.add(None, one, made_by=ELSEWHERE, times=times, last=last)
            return True
        # a program whose path is none of a runtime's made the call itself
        may_be_runtimes = key is not None and self._runtimes.may_be(one.exe)
        made_by = self._tree.made_by(one) if may_be_runtimes else PROGRAM
        self.clones.add(key, one, made_by=made_by, times=times, last=last)
        return True
