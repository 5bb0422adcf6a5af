import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runc_wrap.cli import watch
from runc_wrap.evidence.store.call_counts import CallKind
from runc_wrap.report.live_feed import SeenCall
from tests.unit.cli import ctl
from tests.unit.evidence.samples import GETPID, LOG, MOUNT, X86_64, line, write_ledger

KEY = ("/run/test", "c1")


class Looking:
    """In the place of Watching: it sees the same calls once."""

    tree = SimpleNamespace(news=SimpleNamespace(problem=""))

    def __init__(self, calls: list[SeenCall]) -> None:
        self._looks = itertools.chain([calls], itertools.repeat([]))

    def look(self, _: float) -> tuple[list[SeenCall], list[Any]]:
        return next(self._looks), []

    def close(self) -> None:
        pass


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ctl.Node:
    return ctl.node(tmp_path, monkeypatch).apply("[default]\nmode = 'audit'\n")


PRINTED = [
    ({"mode": "audit", "profile": "containerd"}, ["EPERM"]),  # denied
    ({}, ["not known", "not known"]),  # of an unknown container
    # the report does not judge it: its own filter, or its program's, wrote the record
    *(({"action": one, "mode": None, "profile": None}, []) for one in ("keep", "leave")),
]


@pytest.mark.parametrize(("ledger", "outcomes"), PRINTED)
def test_calls_are_printed_unless_the_profile_allows_them_or_is_not_ours(
    node: ctl.Node, monkeypatch: pytest.MonkeyPatch, ledger: dict[str, Any], outcomes: list[str]
) -> None:
    if ledger:
        write_ledger(node.places.ledger, line("c1", **ledger))
    kinds = (CallKind(X86_64, number, LOG, None, "x", "/x") for number in (MOUNT, GETPID))
    calls = [SeenCall(1.0, KEY, kind, 1) for kind in kinds]
    monkeypatch.setattr(watch, "Watching", lambda _: Looking(calls))
    done = node.ctl("watch", "--json", "--seconds", "0.01", status=0)
    assert [json.loads(one)["outcome"] for one in done.stdout.splitlines()] == outcomes
