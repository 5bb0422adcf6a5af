"""Pause containers, of which each pod has one, count neither as kept defaults nor as changes."""

from pathlib import Path
from typing import Any

import pytest

from runc_wrap.host.container_discovery import RuntimeContainer
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.ledger import decision_record
from runc_wrap.ledger.decision_record import Record
from runc_wrap.node.container_state import kept_defaults, redecide
from runc_wrap.node.container_state.container_status import Entry

DEFAULT = "containerd@1.7.24"


class _Known:
    """Recognizes every container's profile."""

    def of_record(self, _: Record) -> str:
        return DEFAULT


def _record(place: Path, name: str, **more: Any) -> Record:
    (place / name).mkdir()
    line = {"id": name, "root": str(place), "bundle": str(place / name), "action": "keep", **more}
    return decision_record.of(line)


@pytest.fixture
def records(tmp_path: Path) -> dict[str, Record]:
    """A pod of two containers, its pause container, and a container of no pod."""
    pod = {"namespace": "team", "pod": "web"}
    return {
        "pause": _record(tmp_path, "pause", **pod),
        "web": _record(tmp_path, "web", **pod, container="web"),
        "side": _record(tmp_path, "side", **pod, container="side"),
        "plain": _record(tmp_path, "plain"),
    }


def test_a_report_counts_workloads_that_keep_their_default(records: dict[str, Record]) -> None:
    assert [name for name, one in records.items() if one.is_sandbox] == ["pause"]
    known: Any = _Known()
    assert kept_defaults.counted(records.values(), known) == {DEFAULT: 3}


def test_a_policy_that_would_decide_differently_has_no_row_for_them(
    records: dict[str, Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: Any = None

    def again(*_: Any) -> Any:
        raise Refusal("it would be refused")

    monkeypatch.setattr(redecide, "_again", again)
    entries = []
    for one in records.values():
        made = RuntimeContainer(one.root or "", one.id, "runc", "running", 1, one.bundle, 0)
        entries.append(Entry(made, one, engine_default=DEFAULT))
    found = [one.entry.container.id for one in redecide.changes(compiled, entries)]
    assert found == ["web", "side", "plain"]
