"""Why a command on the host failed, in a sentence, and what the node says of the handler."""

import json
from typing import Any

import pytest

from runc_wrap.cluster import next_step
from runc_wrap.cluster.host_commands import step_commands, transient_unit
from runc_wrap.cluster.host_commands.systemd_dbus import FAILED, UnitEnd
from runc_wrap.cluster.host_commands.transient_unit import Command, CommandEnd
from runc_wrap.documents.reader import DocumentError
from tests.unit.cluster.host_stand_in import OURS

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
def test_the_reason_is_what_was_said_last(ended: CommandEnd, reason: str) -> None:
    assert ended.reason[:590] == reason[:590]
    assert len(ended.reason) <= 600


PROGRAM = "/opt/runc-wrap/bin/runc-wrapctl"
STATUSES = [
    (203, f"the status 203: {PROGRAM} cannot be executed; see whether"),
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


def _engine(engine: str = "containerd", *, handlers: Any = (), **more: Any) -> dict[str, Any]:
    return {"engine": engine, "handlers": [*handlers], **more}


ASKED: dict[str, Any] = {"transaction": {"handler": "runc-wrap"}}
STATUS: list[tuple[list[dict[str, Any]], str]] = [
    ([_engine(handlers=[OURS])], next_step.IN_FORCE),
    ([_engine("crio", handlers=[OURS])], next_step.ABSENT),
    ([_engine(handlers=[OURS | {"handler": "other"}])], next_step.ABSENT),
    ([_engine(handlers=[OURS | {"configured": False}])], next_step.CHANGED),
    ([_engine(handlers=[OURS | {"in_force": False}])], next_step.CHANGED),
    ([_engine(handlers=[OURS | {"configured": False, "gone": True}])], next_step.GONE),
    ([_engine(handlers=[OURS | {"upgraded": True}])], next_step.UPGRADED),
    ([_engine(handlers=[OURS], upgraded=True)], next_step.IN_FORCE),  # another's
    ([_engine(handlers=[OURS], drift=["a", "b"])], next_step.OTHER_FILES),
    ([_engine(handlers=[OURS | {"configured": None}], drift=["no"])], next_step.UNREADABLE),
    ([_engine(handlers=[OURS | {"in_force": None}], drift=["no answer"])], next_step.IN_FORCE),
    ([_engine(handlers=[OURS], **ASKED)], next_step.INTERRUPTED),
    ([_engine(**ASKED)], next_step.ABSENT),
    ([{"engine": "containerd"}], next_step.ABSENT),
    ([], next_step.ABSENT),
]


@pytest.mark.parametrize(("document", "word"), STATUS)
def test_what_engine_status_says_of_our_handler(document: Any, word: str) -> None:
    assert step_commands.handler_registration(document, "containerd").word == word


@pytest.mark.parametrize("document", [None, {"engine": "containerd"}, [3], [{"engine": 3}]])
def test_what_is_no_status_is_not_taken_for_a_handler_that_is_missing(document: Any) -> None:
    """Which would be registered, by a restart of the engine."""
    with pytest.raises(DocumentError):
        step_commands.handler_registration(document, "containerd")


def test_of_two_engines_of_a_kind_the_one_that_was_named_counts() -> None:
    document = [_engine(config="/a"), _engine(config="/b", handlers=[OURS])]
    for config, word in (("/a", next_step.ABSENT), ("/b", next_step.IN_FORCE)):
        assert step_commands.handler_registration(document, "containerd", config).word == word
