"""An installation for each test, and the evidence of a simulated agent."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from harness.node.evidence_store import EvidenceWriter
from runc_wrap.evidence.sightings import AUDIT, LossSpan
from runc_wrap.evidence.sources import kmsg, log_files
from runc_wrap.host import runtime_state
from runc_wrap.node.container_state import users_containers
from runc_wrap.node.paths import Places
from runc_wrap.report.merge.document_stream import asking
from runc_wrap.time_text import rfc3339
from tests.unit.cli import ctl
from tests.unit.evidence.samples import line, write_ledger

APP = {"namespace": "shop", "pod": "web-7d9c8b5f6-x2k4p", "container": "app", "image": "web:1"}


class Evidence:
    """Writes the evidence of a simulated agent."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.store = EvidenceWriter(places.evidence)
        self.now = time.time()
        self.store.state.add_watched(AUDIT, self.now - 3600, self.now)

    def container(self, name: str, *sightings: Any, **changes: Any) -> None:
        begin = rfc3339(self.now - 1800)
        write_ledger(self.places.ledger, line(name, time=begin, **changes))
        for place, one in enumerate(sightings):
            at = self.now - 600 + place
            self.store.add(("/run/test", name), one._replace(time=at, serial=place))
        self.store.ended(("/run/test", name), self.now)
        self.store.flush()

    def stray(self, one: Any) -> None:
        self.store.add(None, one._replace(time=self.now - 500))
        self.store.flush()

    def lost(self, number: int) -> None:
        self.store.lost(LossSpan(self.now - 500, number, AUDIT, "they came too fast"))
        self.store.flush()


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Look at no containers and no records of this machine."""
    ctl.prove_once(monkeypatch)
    monkeypatch.setattr(runtime_state, "KNOWN_ROOTS", ())
    monkeypatch.setattr(users_containers, "RUN_DIRECTORIES", f"{tmp_path}/user/")
    monkeypatch.setattr(log_files, "AUDIT_LOG", tmp_path / "absent")
    monkeypatch.setattr(kmsg, "PATH", tmp_path / "absent")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ctl.Node:
    """A node with runc 1.1.15 and nothing else; no policy is in force yet."""
    return ctl.node(tmp_path, monkeypatch)


@pytest.fixture
def applied(node: ctl.Node) -> ctl.Node:
    """The same, with the defaults in force."""
    return node.apply("")


@pytest.fixture
def evidence(applied: ctl.Node) -> Evidence:
    """Of a node with the defaults in force."""
    return Evidence(applied.places)


def own_report(node: ctl.Node, name: str) -> Any:
    """Return what this node's `report` prints for --merge, under this name."""
    return json.loads(node.ctl("report", "--json", "--node", name).stdout)


def merge_file(node: ctl.Node, name: str, *documents: Any) -> str:
    """Write a file for --merge; return its path."""
    path = node.places.prefix / name
    path.write_bytes(merge_lines(*documents))
    return str(path)


def merge_lines(*documents: Any) -> bytes:
    """Return documents as who asks each node writes them; one of them needs nobody to say whose."""
    if len(documents) == 1:
        return json.dumps(documents[0]).encode() + b"\n"
    nodes = [one["node"] if isinstance(one, dict) else "c" for one in documents]
    pairs = zip(nodes, documents, strict=True)
    return b"".join(asking(node) + json.dumps(one).encode() + b"\n" for node, one in pairs)
