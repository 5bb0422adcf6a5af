"""What the recorder says that it has watched, and in which turns it takes in what comes."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent import recording
from runc_wrap.agent.notify import Inflight
from runc_wrap.agent.recording import Recorder
from runc_wrap.evidence import connector, processes, store
from runc_wrap.evidence.model import AUDIT, OBSERVE
from runc_wrap.evidence.sources import kernel, netlink

if TYPE_CHECKING:
    from pathlib import Path

ALL = "log errno"


def _refused() -> None:
    raise connector.Unavailable(errno.EPERM, "not for a test")


class Silent:
    """Audit's socket where nothing comes."""

    def fileno(self) -> int:
        return -1


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recording, "Live", Silent)
    monkeypatch.setattr(processes, "connector", _refused)
    monkeypatch.setattr(kernel, "_LOGGED", str(tmp_path / "logged"))
    monkeypatch.setattr(kernel, "_switched_off", list)
    monkeypatch.setattr(netlink, "asked", lambda _kind: [])
    return tmp_path / "logged"


def watched(prefix: Path) -> set[str]:
    return set(store.load(prefix / "var" / "evidence").watched) & {AUDIT, OBSERVE}


def recorder(prefix: Path) -> Recorder:
    return Recorder(str(prefix), Inflight.new())


@pytest.mark.parametrize(("words", "is_watched"), [(ALL, True), ("errno", False), ("log", False)])
def test_audit_is_watched_only_while_what_filters_log_is_logged(
    logged: Path, tmp_path: Path, words: str, is_watched: bool
) -> None:
    logged.write_text(words)
    recorder(tmp_path).write()
    assert watched(tmp_path) == ({AUDIT, OBSERVE} if is_watched else {OBSERVE})


def test_what_is_logged_is_asked_each_time_and_the_time_before_stays_unwatched(
    logged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_700_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    logged.write_text("errno")
    one = recorder(tmp_path)
    now += 100
    one.write()
    logged.write_text(ALL)
    now += 100
    one.write()
    found = store.load(tmp_path / "var" / "evidence").watched
    assert found[AUDIT] == [(now - 100, now)]
    assert found[OBSERVE] == [(now - 200, now)]


@pytest.mark.parametrize(("rules", "is_watched"), [(None, True), ("excluded", False)])
def test_an_audit_rule_that_excludes_records_keeps_audit_unwatched(
    logged: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rules: str | None,
    is_watched: bool,
) -> None:
    logged.write_text(ALL)
    answer = None if rules is None else [(1013, b"rule")]
    monkeypatch.setattr(netlink, "asked", lambda _kind: answer)
    monkeypatch.setattr(kernel, "excludes", lambda _rule: rules)
    recorder(tmp_path).write()
    assert (AUDIT in watched(tmp_path)) == is_watched
