"""Why a command on the host failed, in a sentence."""

from __future__ import annotations

import json

import pytest

from runc_wrap.node.cluster.host_commands.host_command import Command, Ended

LONG = "there is no setting defualt; there are " + ", ".join(map(str, range(500)))
REASONS = [
    (Ended(is_well=False, said="Error: no\n"), "no"),
    (Ended(is_well=False, said="Usage: x\n\nError: no\n"), "Usage: x Error: no"),
    (Ended(is_well=False, said=f"Error: {LONG}\n"), LONG[:592] + "…"),
    (Ended(is_well=False, said="a line\n" * 200 + "the end\n"), "a line " * 84 + "the end"),
    (Ended(is_well=False, printed="out\n", said=""), "out"),
    (Ended(is_well=False, printed=json.dumps({"reason": "why"}), said="x"), "why"),
    (Ended(is_well=False, printed="[" * 100_000, said="x"), "x"),
    (Ended(is_well=False), "it gave no reason"),
]


@pytest.mark.parametrize(("ended", "reason"), REASONS)
def test_the_reason_is_what_was_said_last_from_its_beginning(ended: Ended, reason: str) -> None:
    assert ended.reason[:590] == reason[:590]
    assert len(ended.reason) <= 600


def test_commands_of_other_words_are_other_units() -> None:
    units = {Command("add", words, 1.0).unit for words in (("a", "b"), ("ab",), ("a", "c"))}
    assert len(units) == 3
    assert all(unit.startswith("runc-wrap-cluster-add-") for unit in units)
