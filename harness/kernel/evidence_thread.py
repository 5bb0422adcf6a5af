"""The work of the service observe in a thread of the test: kernel -> container -> store."""

import select
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.host.processes import wait_for_next_second
from harness.kernel import kernel_log
from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.evidence.attribution.process_tree import ProcessTree
from runc_wrap.evidence.sightings import LossSpan
from runc_wrap.evidence.sources.audit_netlink import Live
from runc_wrap.evidence.store.evidence_writer import EvidenceWriter


class Collector:
    """Counts all seccomp records into a store."""

    def __init__(self, prefix: Path) -> None:
        self.store = EvidenceWriter(prefix / "var" / "evidence")
        self.tree = ProcessTree(Known(prefix / "var" / "ledger"))
        self.live = Live()
        self.pids: dict[int, set[int]] = defaultdict(set)  # by the call's number
        self._stopping = threading.Event()
        self.begin = time.time()

    def run(self) -> None:
        while not self._stopping.is_set():
            files = (self.live.fileno(), self.tree.news.fileno())
            if select.select([one for one in files if one >= 0], [], [], 0.1)[0]:
                self.step()

    def step(self) -> None:
        records = self.live.read()
        for lost in self.tree.read():
            self.store.lost(lost)
        for record in records:
            if isinstance(record, LossSpan):
                self.store.lost(record)
            else:
                self.pids[record.number].add(record.pid)
                self.store.add(self.tree.container_of(record.pid, record.time), record)
        for key, when in self.tree.ended():
            self.store.ended(key, when)

    def stop(self) -> None:
        kernel_log.settle()
        self._stopping.set()


@contextmanager
def collecting(prefix: Path) -> Iterator[Collector]:
    """Collect during the block; the evidence is on disk when it ends."""
    collector = Collector(prefix)
    thread = threading.Thread(target=collector.run)
    thread.start()
    wait_for_next_second()
    try:
        yield collector
    finally:
        collector.stop()
        thread.join()
        while select.select([collector.live], [], [], 0)[0]:
            collector.step()
        collector.step()
        while collector.tree.due is not None:  # some are asked later
            time.sleep(max(0.0, collector.tree.due - time.monotonic()))
            collector.step()
        collector.store.watched("audit", collector.begin, time.time())
        collector.store.flush()
        collector.live.close()
        collector.tree.news.close()
