"""Whatever ends a transaction's steps, it is taken back: a terminal that is gone, a defect."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from runc_wrap.node.engines.transaction import canary_proof, journal, steps
from tests.unit.node.engines.transaction.killed_node import job, node, proved, run

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.paths import Places
    from tests.unit.node.engines.transaction.killed_node import FakeNode

TEXT = "# the owner's\nversion = 2\n"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeNode, Places]:
    proved(monkeypatch)
    return node(tmp_path, TEXT)


def _is_as_before(one: FakeNode, places: Places) -> bool:
    texts = {one.config.read_text(), one.read.read_text()}
    return texts == {TEXT} and not journal.all_of(places) and not one.timers


@pytest.mark.parametrize("said", range(6))
def test_a_terminal_that_is_gone_does_not_keep_it_from_being_taken_back(
    made: tuple[FakeNode, Places], said: int
) -> None:
    """Its HUP interrupts, and whatever is said from then on fails, as on a pipe without reader."""
    one, places = made
    one.hangs = True
    left = said

    def tell(_sentence: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(steps.TakenBack):
        steps.run(job(places, one.config), one, tell)
    assert _is_as_before(one, places)


def test_a_defect_of_ours_does_not_keep_it_from_being_taken_back(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, places = made

    def defect(*_words: object) -> str:
        raise LookupError("a defect")

    monkeypatch.setattr(canary_proof, "check", defect)
    with pytest.raises(steps.TakenBack, match="LookupError: a defect"):
        run(job(places, one.config), one)
    assert _is_as_before(one, places)


def test_a_second_interruption_waits_until_it_is_taken_back(
    made: tuple[FakeNode, Places],
) -> None:
    one, places = made
    restart, interrupting = one.restart, [signal.SIGINT, signal.SIGTERM, signal.SIGINT]

    def interrupted(unit: str, how: str) -> str:
        if interrupting:
            os.kill(os.getpid(), interrupting.pop(0))
        return restart(unit, how)

    one.restart = interrupted  # type: ignore[method-assign]
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(steps.TakenBack, match=steps.INTERRUPTED):
            run(job(places, one.config), one)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert interrupting == [signal.SIGINT]
    assert _is_as_before(one, places)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
