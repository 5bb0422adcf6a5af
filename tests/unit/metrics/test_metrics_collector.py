from pathlib import Path
from typing import Any

import pytest

from harness.node.evidence_store import EvidenceWriter
from runc_wrap.evidence.sightings import LossSpan
from runc_wrap.ledger import whole_ledger
from runc_wrap.metrics import metrics_collector
from tests.unit.cli import ctl
from tests.unit.evidence.samples import CLONE3, GETPID, MOUNT, line, sighting, write_ledger

OF_POD = {"namespace": "shop", "pod": "web-7d9c8b5f6-x2k4p", "container": "nginx"}
LINE = line("c1", root="/run/runc", engine="containerd", via="cold", **OF_POD)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ctl.Node:
    ctl.prove_once(monkeypatch)
    return ctl.node(tmp_path, monkeypatch).apply("[default]\nmode = 'audit'\n")


KEY = ("/run/runc", "c1")


def seen(node: ctl.Node, *numbers: int, key: tuple[str, str] | None = KEY) -> None:
    """Have evidence of these calls stored."""
    store = EvidenceWriter(node.places.evidence)
    for at in numbers:
        store.add(key, sighting(at, time=1.5, serial=0))
    store.flush()


def samples(node: ctl.Node, metric: str) -> dict[tuple[str, ...], float]:
    found = metrics_collector.gather(node.places)
    (family,) = [one for one in found if one.name == f"runc_wrap_{metric}"]
    return {tuple(labels.values()): value for labels, value in family.samples}


def test_denied_calls_are_counted_by_workload_call_and_outcome(node: ctl.Node) -> None:
    write_ledger(node.places.ledger, LINE)
    seen(node, MOUNT, MOUNT, CLONE3, GETPID)
    seen(node, MOUNT, key=None)
    wanted = {
        ("shop", "web/nginx", "mount", "denied"): 2,
        ("shop", "web/nginx", "clone3", "degrades"): 1,
        ("", "unknown", "mount", "unknown"): 1,
    }
    assert samples(node, "denied_calls") == wanted
    assert samples(node, "denied_calls") == wanted
    seen(node, MOUNT)
    wanted["shop", "web/nginx", "mount", "denied"] += 1
    assert samples(node, "denied_calls") == wanted
    for path in (node.places.evidence / "containers").iterdir():
        path.unlink()  # the store forgets
    assert samples(node, "denied_calls") == wanted
    seen(node, MOUNT, MOUNT, MOUNT)  # as many: another container with the same id
    wanted["shop", "web/nginx", "mount", "denied"] += 3
    assert samples(node, "denied_calls") == wanted


@pytest.mark.parametrize("action", ["keep", "leave"])
def test_calls_of_a_container_without_our_profile_do_not_count(node: ctl.Node, action: str) -> None:
    """The report does not judge it: its own filter, or its program's, wrote the record."""
    write_ledger(node.places.ledger, {**LINE, "action": action, "mode": None, "profile": None})
    seen(node, MOUNT)
    assert samples(node, "denied_calls") == {}


def test_losses_are_counted_once(node: ctl.Node) -> None:
    store = EvidenceWriter(node.places.evidence)
    store.lost(LossSpan(1.0, 40, "audit", "backlog"))
    store.flush()
    assert samples(node, "lost_records") == {("audit",): 40}
    assert samples(node, "lost_records") == {("audit",): 40}


def test_a_call_counts_once_whether_its_container_is_beyond_the_bound_or_not(
    node: ctl.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ledger(node.places.ledger, LINE)
    seen(node, MOUNT, CLONE3)
    for most in (100, 1, 100, 1):
        monkeypatch.setattr(metrics_collector, "MOST_KINDS", most)
        assert sum(samples(node, "denied_calls").values()) == 2
    seen(node, MOUNT)
    assert samples(node, "denied_calls")[("other",) * 4] == 1
    monkeypatch.setattr(metrics_collector, "MOST_KINDS", 100)
    assert sum(samples(node, "denied_calls").values()) == 3


def test_the_command_prints_and_writes_for_node_exporter(node: ctl.Node, tmp_path: Path) -> None:
    write_ledger(node.places.ledger, LINE)
    counted = 'mode="audit",reason_kind="default",via="cold"} 1.0'
    assert counted in node.ctl("metrics").stdout
    path = tmp_path / "runc-wrap.prom"
    path.write_text("old")
    path.chmod(0o600)
    result = node.ctl("metrics", "--textfile", str(path))
    assert (result.exit_code, result.stdout) == (0, "")
    assert counted in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in tmp_path.glob("*runc-wrap.prom*")] == ["runc-wrap.prom"]


@pytest.mark.parametrize("name", ["metrics.txt", "none/metrics.prom"])
def test_an_impossible_file_is_refused(node: ctl.Node, tmp_path: Path, name: str) -> None:
    assert str(tmp_path / name) in node.failure("metrics", "--textfile", str(tmp_path / name))


AGENT = {**LINE, "via": "agent", "pid": 7}
COLD = {**LINE, "via": "cold", "pid": 7, "fallback": True}


DECIDED_TWICE = [
    pytest.param([AGENT, COLD], 1, id="an answer that was not followed"),
    pytest.param([AGENT, {**AGENT, "id": "c2"}, COLD], 2, id="another in between"),
    pytest.param([AGENT, {**COLD, "pid": 8}], 2, id="another start"),
    pytest.param([AGENT, {**COLD, "root": "/run/crun"}], 2, id="another root"),
    pytest.param([AGENT, AGENT], 2, id="two answers"),
    pytest.param([COLD, AGENT], 1, id="an answer that came late"),
    pytest.param([COLD, {**AGENT, "pid": 8}], 2, id="another start, answered"),
    pytest.param([{**AGENT, "pid": None}, {**COLD, "pid": None}], 2, id="no pid"),
    pytest.param([{**AGENT, "pid": n} for n in range(3000)], 3000, id="many"),
]


@pytest.mark.parametrize(("lines", "number"), DECIDED_TWICE)
def test_a_create_decided_by_the_agent_and_then_again_counts_once(
    node: ctl.Node, lines: list[dict[str, Any]], number: int
) -> None:
    write_ledger(node.places.ledger, *lines)
    assert sum(samples(node, "decisions").values()) == number
    assert sum(samples(node, "decisions").values()) == number
    assert sum(samples(node, "agent_fallbacks").values()) == sum("fallback" in x for x in lines)
    starts = whole_ledger.read(node.places.ledger).starts
    assert sum(often for _, often in starts.values()) == number
