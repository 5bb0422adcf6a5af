"""A canary that a killed command left is found and removed, one that is under way is not."""

import contextlib
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from runc_wrap.cli.root_command import main
from runc_wrap.doctor import engine_checks
from runc_wrap.engines import engine_registry
from runc_wrap.engines.handler import CallFailed
from runc_wrap.engines.transaction import canary_proof, transaction_record
from runc_wrap.host import program
from runc_wrap.node import paths
from runc_wrap.node.paths import Places
from tests.unit.engines.transaction.killed_node import FakeEngine, FakeNode, node, proved


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeNode, Places]:
    proved(monkeypatch)
    one = node(tmp_path, "version = 2\n")
    one.run()
    monkeypatch.setattr(engine_registry, "installed", lambda *_: FakeEngine(one))
    monkeypatch.setattr(paths, "installed", lambda: one.places)
    monkeypatch.setattr(program, "FIXED_PATH", (str(tmp_path / "nothing"),))
    return one, one.places


def test_what_is_left_is_found_and_removed(made: tuple[FakeNode, Places]) -> None:
    one, places = made
    assert [*engine_checks.canaries(places)] == []
    one.canaries += ["a", "b"]
    (finding,) = engine_checks.canaries(places)
    assert "still has 2 test containers that a killed command left there" in finding.sentence
    assert finding.fix
    finding.fix()
    assert one.canaries == []
    assert [*engine_checks.canaries(places)] == []


@pytest.mark.parametrize("whose", ["a command that uses it now", "another installation"])
def test_one_that_somebody_else_has_is_left_to_him(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    one, places = made
    one.canaries.append("a")
    with contextlib.ExitStack() as stack:
        if whose == "another installation":
            monkeypatch.setattr(paths, "installed", lambda: Places(places.prefix / "other"))
        else:
            stack.enter_context(transaction_record.exclusive(places))
        assert [*engine_checks.canaries(places)] == []
        canary_proof.remove_left_canaries(places, [one.where])
    assert one.canaries == ["a"]


ADD = ["add", "containerd", "--containerd-version", "1.7.24"]


@pytest.mark.parametrize("words", [["status"], ADD, ["remove", "containerd"]])
@pytest.mark.parametrize("is_silent", [False, True])
def test_the_next_command_removes_it_if_the_engine_answers(
    made: tuple[FakeNode, Places], words: list[str], *, is_silent: bool
) -> None:
    one, places = made
    one.canaries.append("a")
    one.stopped = is_silent
    at = ["--config", str(one.config)] if words[1:] else []
    result = CliRunner().invoke(main, ["--prefix", str(places.prefix), "engine", *words, *at])
    assert result.exit_code != 2, result.output
    assert one.canaries == (["a"] if is_silent else [])


def test_an_engine_that_does_not_answer_is_another_checks(
    made: tuple[FakeNode, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, places = made
    one.canaries.append("a")
    (finding,) = engine_checks.canaries(places)
    one.stopped = True
    assert finding.fix
    with pytest.raises(CallFailed, match="nobody answers"):
        finding.fix()

    silent = CallFailed("nobody answers")
    monkeypatch.setattr(FakeEngine, "left_probes", Mock(side_effect=silent))
    assert [*engine_checks.canaries(places)] == []
