import os
from pathlib import Path

import pytest

from harness.node.evidence_store import EvidenceWriter
from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.evidence.sightings import LossSpan, Sighting
from runc_wrap.evidence.store import evidence_memory
from runc_wrap.hotpath.ledger_file import Key
from runc_wrap.node.paths import Places
from runc_wrap.report import live_feed
from runc_wrap.report.live_feed import Watching
from tests.unit.evidence.samples import CLONE3, NEWUSER, NOTIFY, UNSHARE, observed, sighting

KEY = ("/run/test", "c1")


class Kernel:
    """Simulates the audit multicast: a pipe that is readable while there are records."""

    def __init__(self) -> None:
        self.given: list[Sighting | LossSpan] = []
        self._read, self._write = os.pipe()

    def give(self, *records: Sighting | LossSpan) -> None:
        self.given += records
        os.write(self._write, b"x")

    def fileno(self) -> int:
        return self._read

    def read(self) -> list[Sighting | LossSpan]:
        os.read(self._read, 1)
        found, self.given = self.given, []
        return found

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


class Processes:
    """Simulates the tree: the process with pid 100 is the container's."""

    problem = ""

    def __init__(self, _: Known) -> None:
        self.news = self

    def fileno(self) -> int:
        return -1

    def read(self) -> list[LossSpan]:
        return []

    def container_of(self, pid: int, _: float) -> Key | None:
        return KEY if pid == 100 else None

    def close(self) -> None:
        pass


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(live_feed, "Live", lambda: made)
    monkeypatch.setattr(live_feed, "ProcessTree", Processes)
    return made


def test_calls_of_one_kind_are_one_line_of_one_look(tmp_path: Path, kernel: Kernel) -> None:
    looking = Watching(Places(tmp_path))
    lost = LossSpan(5.0, 3, "audit", "too fast")
    kernel.give(sighting(), sighting(serial=2), sighting(pid=7), sighting(code=NOTIFY), lost)
    seen, losses = looking.look(0.05)
    assert sorted((one.key or ("", ""), one.times) for one in seen) == [(("", ""), 1), (KEY, 2)]
    assert losses == [lost]
    assert looking.look(0.01) == ([], [])
    looking.close()


def test_observed_calls_appear_once_they_are_written(tmp_path: Path, kernel: Kernel) -> None:
    places = Places(tmp_path)
    agent = EvidenceWriter(places.evidence)
    agent.add(KEY, observed(UNSHARE, NEWUSER))
    agent.flush()
    looking = Watching(places)
    assert looking.look(0.01)[0] == []  # from before
    for _ in range(3):
        agent.add(KEY, observed(UNSHARE, NEWUSER))
    agent.add(KEY, sighting())  # this the kernel tells
    agent.add(KEY, sighting(CLONE3, args=(0, *[None] * 5)))  # this, too: see child_namespaces
    agent.flush()
    (news,) = looking.look(0.01)[0]
    assert (news.key, news.times, news.call.args) == (KEY, 3, (NEWUSER,) + (None,) * 5)
    (places.evidence / evidence_memory.file_name(KEY)).write_bytes(b"{")
    assert looking.look(0.01)[0] == []
    kernel.close()
