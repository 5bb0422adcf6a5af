"""runc-wrapctl report of one node: the table, a workload in full, the page, what was lost."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.evidence.sources import audit_obstacles, log_files
from runc_wrap.report import evidence_gathering
from runc_wrap.time_text import rfc3339
from tests.unit.cli.conftest import APP, Evidence
from tests.unit.cli.ctl import Node
from tests.unit.evidence.samples import MOUNT, UNSHARE, X86, line, observed, sighting, write_ledger

KEYS = "namespace pod container image verdict containers first last lost calls".split()
CALL_KEYS = "abi syscall errno args count programs first last".split()
ESCAPE = "\x1b[31m"


def _documents(node: Node, *words: str, status: int = 0) -> list[dict[str, Any]]:
    shown = node.ctl("report", "--json", *words, status=status).stdout
    found: list[dict[str, Any]] = json.loads(shown)
    assert all(one.keys() >= set(KEYS) for one in found)
    assert all(call.keys() >= set(CALL_KEYS) for one in found for call in one["calls"])
    return found


NOTHING = {
    "no container": ([], 0, "runc-wrap has not injected a profile into any container.\n"),
    "enforced": (["enforce"], 0, "1 workload enforced, nothing to report; --all lists them.\n"),
    "not watched": (["audit"], 1, "Unknown: nothing was watching"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_what_is_said_where_nothing_was_seen(applied: Node, case: str) -> None:
    modes, status, told = NOTHING[case]
    write_ledger(applied.places.ledger, *(line("c1", mode=mode) for mode in modes))
    result = applied.ctl("report")
    assert (result.exit_code, told in result.stdout) == (status, True)


def test_the_table_names_calls_programs_and_confidence(applied: Node, evidence: Evidence) -> None:
    evidence.container("c1", sighting(), sighting())
    evidence.container("c2")
    evidence.stray(sighting(MOUNT))
    result = applied.ctl("report")
    bad, good = (one for one in result.stdout.splitlines() if one.startswith(("c1 ", "c2 ")))
    assert "DENIED" in bad
    assert "unshare: EPERM, 2 times by /usr/bin/unshare" in bad
    assert "unknown" in good
    assert "Unknown: 1 call of no known container came meanwhile, which may have been its" in good
    assert "1 call of no known container (mount)" in result.stdout


def test_enforced_workloads_without_denials_are_one_line(applied: Node, evidence: Evidence) -> None:
    for number in range(61):
        write_ledger(applied.places.ledger, line(f"old{number}", mode="enforce"))
    evidence.container("c1", sighting())
    shown = applied.ctl("report").stdout.splitlines()
    assert len(shown) == 4
    assert shown[1].startswith("c1 ")
    assert shown[-1] == "61 workloads enforced, nothing to report; --all lists them."
    everyone = applied.ctl("report", "--all").stdout
    assert len(everyone.splitlines()) == 1 + 62
    assert "nothing needs attention" not in everyone
    assert len(_documents(applied, status=1)) == 62


def test_a_workload_by_its_name_is_shown_in_full(applied: Node, evidence: Evidence) -> None:
    flags = (0x10000000, 0x20000, 0x40000000)
    seen = [observed(UNSHARE, one, exe=f"/bin/p{one}") for one in flags]
    other = sighting(310, arch=X86)
    evidence.container("c1", *seen, sighting(MOUNT), other, mode="observe", **APP)
    evidence.container("c2", mode="enforce")
    result = applied.ctl("report", "shop/web/app", status=1)
    assert result.stdout.startswith("shop/web/app: DENIED\n")
    kinds = ", ".join(f"unshare(CLONE_{one})" for one in ("NEWUSER", "NEWNS", "NEWNET"))
    programs = ", ".join(f"/bin/p{one}" for one in flags)
    assert f"  {kinds}: EPERM, 3 times by {programs}, 20" in result.stdout
    assert "  mount: EPERM, once by /usr/bin/unshare, 20" in result.stdout
    assert "  unshare (x86): EPERM, once by /usr/bin/unshare, 20" in result.stdout
    assert "image: web:1\n" in result.stdout
    assert "  c1 of the pod web-7d9c8b5f6-x2k4p: containerd (observe), since 20" in result.stdout
    assert "c2" not in result.stdout
    assert [one["name"] for one in _documents(applied, "c2")] == ["c2"]
    assert "there is no such workload" in applied.failure("report", "c3")


@pytest.mark.parametrize("name", [f"{ESCAPE}evil", "<script>alert(1)</script>", "[red]x[/red]"])
def test_names_chosen_by_a_workload_stay_text(
    applied: Node, evidence: Evidence, tmp_path: Path, name: str
) -> None:
    evidence.container("c1", sighting(exe=name, comm=name), container=name, image=name)
    page = tmp_path / "out.html"
    shown = [applied.ctl("report"), applied.ctl("report", "--json"), applied.ctl("suggest", name)]
    shown.append(applied.ctl("report", "--html", str(page)))
    text = "".join(one.output for one in shown) + page.read_text()
    assert "\x1b" not in text
    assert "<script>alert(1)" not in page.read_text()
    assert not name.startswith("[") or name in shown[0].stdout


def test_a_program_is_one_word_whatever_it_is_called(applied: Node, evidence: Evidence) -> None:
    name = "x, /usr/bin/y\nDENIED  shop"
    evidence.container("c1", sighting(exe=name, comm=name), container="c\nd")
    shown = applied.ctl("report").stdout
    assert 'once by "x, /usr/bin/y\\u000aDENIED  shop"' in shown
    assert len(shown.splitlines()) == 2
    assert '\\"x, /usr/bin/y' in applied.ctl("suggest", "--allow-dangerous", "c\nd").stdout


def test_losses_are_reported(applied: Node, evidence: Evidence) -> None:
    evidence.container("c1")
    evidence.lost(5)
    result = applied.ctl("report")
    assert "note: 5 records were lost (they came too fast)" in result.stderr
    assert "Unknown: 5 records were lost while its containers ran (between 20" in result.stdout
    assert result.exit_code == 1


def test_damaged_files_are_reported(applied: Node, evidence: Evidence) -> None:
    evidence.container("c1", sighting())
    for path in (applied.places.evidence / "containers").iterdir():
        path.write_bytes(b"{")
    with (applied.places.ledger / "ledger.jsonl").open("a") as file:
        file.write("nonsense\n")
    stderr = applied.ctl("report").stderr
    assert "note: 1 lines of the ledger are damaged" in stderr
    assert "note: 1 files are damaged" in stderr


SINCE = "2020-99-99 2021-02-29 9000-01-01 2027-13-45x yesterday -5m 5".split()


def test_since_takes_spans_and_times_and_refuses_others(applied: Node, evidence: Evidence) -> None:
    evidence.container("c1", sighting())
    for since, status in {"1h": 1, "2020-02-29": 1, "2m": 0, **dict.fromkeys(SINCE, 2)}.items():
        assert applied.ctl("report", "--since", since).exit_code == status, since


def test_an_unusable_file_is_said(applied: Node, evidence: Evidence, tmp_path: Path) -> None:
    evidence.container("c1", sighting())
    assert "nowhere" in applied.failure("report", "--audit-log", str(tmp_path / "nowhere"))
    applied.ctl("report", "--html", str(tmp_path / "no" / "out.html"), status=2)


def test_a_syslog_is_read_only_if_it_is_named(
    applied: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any local user can write a record into it, in the kernel's name and of any pid."""
    read: list[Path] = []
    path, is_there = type(tmp_path), type(tmp_path).exists
    monkeypatch.setattr(path, "exists", lambda p: p.is_relative_to("/var/log") or is_there(p))

    def noted(log: Path, *_: object) -> Iterator[Any]:
        read.append(log)
        return iter(())

    monkeypatch.setattr(log_files, "read", noted)
    applied.ctl("report")
    assert read == []
    (tmp_path / "syslog").touch()
    applied.ctl("report", "--audit-log", str(tmp_path / "syslog"))
    assert read == [tmp_path / "syslog"]


EXCLUDED = "an audit rule excludes SECCOMP records: none is logged (auditctl -l shows it)"


@pytest.fixture
def audited(applied: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node without an agent, with a day's audit.log that has no records."""
    monkeypatch.setattr(log_files, "AUDIT_LOG", tmp_path / "audit.log")
    monkeypatch.setattr(evidence_gathering, "is_there", lambda _: True)
    begin = time.time() - 86400
    log_files.AUDIT_LOG.write_text(f"type=DAEMON_START msg=audit({begin:.3f}:1): op=start\n")
    return applied


WATCHED = [
    ("audit", None, "safe"),
    ("audit", audit_obstacles.UNREAD, "safe"),  # without root nobody could say more
    ("audit", EXCLUDED, f"Unknown: nothing could be watched: {EXCLUDED}."),
    ("observe", EXCLUDED, "Unknown: nothing was watching while its containers ran."),
]


@pytest.mark.parametrize(("mode", "obstacle", "told"), WATCHED)
def test_a_log_has_not_watched_while_the_kernel_suppresses_records(
    audited: Node, monkeypatch: pytest.MonkeyPatch, mode: str, obstacle: str | None, told: str
) -> None:
    monkeypatch.setattr(audit_obstacles, "warnings", lambda: [obstacle] if obstacle else [])
    begin = rfc3339(time.time() - 3600)
    write_ledger(audited.places.ledger, line("c1", mode=mode, time=begin))
    (found,) = _documents(audited, status=int(told != "safe"))
    assert told in (found["verdict"], found["reason"])
    noted = f"note: {obstacle}" in audited.ctl("report").stderr
    assert noted is (mode == "audit" and obstacle is not None)
    Evidence(audited.places).container("c1", mode=mode)  # what the agent watched stays watched
    assert _documents(audited, status=int(mode != "audit"))
