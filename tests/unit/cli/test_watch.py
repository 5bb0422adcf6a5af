from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.cli import watch
from runc_wrap.evidence.store.call_counts import CallKind
from runc_wrap.report.live_feed import SeenCall
from tests.unit.cli import ctl
from tests.unit.evidence.samples import GETPID, LOG, MOUNT, X86_64, line, write_ledger

if TYPE_CHECKING:
    from pathlib import Path

KEY = ("/run/test", "c1")


class Looking:
    """In the place of Watching: it sees the same calls once."""

    class tree:  # noqa: N801 - an attribute
        problem = ""

    def __init__(self, calls: list[SeenCall]) -> None:
        self._looks = itertools.chain([calls], itertools.repeat([]))

    def look(self, _: float) -> tuple[list[SeenCall], list[Any]]:
        return next(self._looks), []

    def close(self) -> None:
        pass


def _watched(node: ctl.Node, monkeypatch: pytest.MonkeyPatch, *numbers: int) -> list[str]:
    """Return the outcomes that are printed of calls in the container."""
    calls = [
        SeenCall(1.0, KEY, CallKind(X86_64, number, LOG, None, "x", "/x"), 1) for number in numbers
    ]
    monkeypatch.setattr(watch, "Watching", lambda _: Looking(calls))
    done = node.ctl("watch", "--json", "--seconds", "0.01")
    assert done.exit_code == 0, done.output
    return [json.loads(one)["outcome"] for one in done.stdout.splitlines()]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ctl.Node:
    found = ctl.node(tmp_path, monkeypatch)
    found.configure("[default]\nmode = 'audit'\n")
    assert found.ctl("apply").exit_code == 0
    return found


def test_calls_that_the_profile_denies_are_printed(
    node: ctl.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_ledger(node.places.ledger, line("c1", mode="audit", profile="containerd"))
    assert _watched(node, monkeypatch, MOUNT, GETPID) == ["EPERM"]


def test_calls_of_an_unknown_container_are_printed_as_not_known(
    node: ctl.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _watched(node, monkeypatch, MOUNT) == ["not known"]


@pytest.mark.parametrize("action", ["keep", "leave"])
def test_calls_of_a_container_without_a_profile_of_ours_are_not_printed(
    node: ctl.Node, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """The report does not judge it: its own filter, or its program's, wrote the record."""
    write_ledger(node.places.ledger, line("c1", action=action, mode=None, profile=None))
    assert _watched(node, monkeypatch, MOUNT) == []
