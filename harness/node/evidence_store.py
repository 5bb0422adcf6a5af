"""The agent's store of evidence, which writes what has changed at once."""

from runc_wrap.agent.record import disk_thread
from runc_wrap.evidence.store import evidence_changes


class EvidenceWriter(evidence_changes.EvidenceWriter):
    """Writes without a thread, as `agent.record.disk_thread` does with one."""

    def flush(self) -> None:
        """Write what has changed. Raises OSError; the next flush tries again."""
        try:
            disk_thread.put(self.changes())
        except OSError:
            self.unwritten()
            raise
        self.written()
