"""Why a command on the host failed, in a sentence."""

from __future__ import annotations

import json

import pytest

from runc_wrap.cluster.host_commands import transient_unit
from runc_wrap.cluster.host_commands.systemd_manager import (
    FAILED,
    UnitEnd,
)
from runc_wrap.cluster.host_commands.transient_unit import Command, CommandEnd

LONG = "there is no setting defualt; there are " + ", ".join(map(str, range(500)))
REASONS = [
    (CommandEnd(is_well=False, said="Error: no\n"), "no"),
    (CommandEnd(is_well=False, said="Usage: x\n\nError: no\n"), "Usage: x Error: no"),
    (CommandEnd(is_well=False, said=f"Error: {LONG}\n"), LONG[:592] + "…"),
    (CommandEnd(is_well=False, said="a line\n" * 200 + "the end\n"), "a line " * 84 + "the end"),
    (CommandEnd(is_well=False, printed="out\n", said=""), "out"),
    (CommandEnd(is_well=False, printed=json.dumps({"reason": "why"}), said="x"), "why"),
    (CommandEnd(is_well=False, printed="[" * 100_000, said="x"), "x"),
    (CommandEnd(is_well=False), "it gave no reason"),
]


@pytest.mark.parametrize(("ended", "reason"), REASONS)
def test_the_reason_is_what_was_said_last_from_its_beginning(
    ended: CommandEnd, reason: str
) -> None:
    assert ended.reason[:590] == reason[:590]
    assert len(ended.reason) <= 600


def test_commands_of_other_words_are_other_units() -> None:
    units = {Command("add", words, 1.0).unit for words in (("a", "b"), ("ab",), ("a", "c"))}
    assert len(units) == 3
    assert all(unit.startswith("runc-wrap-cluster-add-") for unit in units)


PROGRAM = "/opt/runc-wrap/bin/runc-wrapctl"
STATUSES = [
    (203, f"the status 203: {PROGRAM} cannot be executed. Mostly its file system is"),
    (209, "the status 209: systemd could not write its output; look whether"),
    (223, "the status 223: systemd could not prepare its execution"),
    (1, "the status 1, and said nothing"),
    (244, "the status 244, and said nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "said"), STATUSES)
def test_a_status_that_systemd_gave_is_said_in_words(status: int, said: str) -> None:
    """As where /opt is mounted noexec: the command itself was never there to say anything."""
    end = UnitEnd(FAILED, status, "exit-code")
    reason = transient_unit._ended(Command("register", (PROGRAM,), 1.0), end, "", "").reason  # noqa: SLF001
    assert said in reason
