"""`engine prove`: a canary through the registered handler, and the version that it proves.

Nothing is changed or left behind but the record.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from runc_wrap.cli import engine as engine_command
from runc_wrap.cli.root_command import main
from runc_wrap.engines.docker.docker_engine import Docker
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.transaction import proof_record
from runc_wrap.engines.transaction.canary_proof import NotProved
from tests.unit.engines.engine_node import snapshot
from tests.unit.engines.transaction.killed_node import (
    UNIT,
    FakeEngine,
    FakeNode,
    engine_says,
    proved,
)

pytestmark = pytest.mark.usefixtures("registered")


@pytest.mark.parametrize("fault", ["it hangs", "it is unconfined"])
def test_a_canary_that_proves_nothing_changes_nothing(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    before = snapshot(one.directory)
    if fault == "it hangs":
        one.hangs = True
    else:
        proved(monkeypatch, NotProved("it is unconfined"))
    with pytest.raises((NotProved, EngineError), match=fault[3:]):
        one.prove()
    assert (snapshot(one.directory), one.canaries, one.timers) == (before, [], {})


def test_a_handler_that_is_the_default_is_proved_without_its_name_too(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.run(default=True)
    names: list[str] = []
    started = FakeEngine.canary

    def canary(engine: FakeEngine, handler: str, var: Path) -> object:
        names.append(handler)
        return started(engine, handler, var)

    monkeypatch.setattr(FakeEngine, "canary", canary)
    one.prove()
    assert names == ["runc-wrap", ""]


def test_what_is_not_registered_or_being_changed_is_not_proved(one: FakeNode) -> None:
    with pytest.raises(EngineError, match="other is not registered"):
        one.prove("other")
    one.interrupted()
    with pytest.raises(EngineError, match="is being changed by"):
        one.prove()


@pytest.mark.parametrize("is_well", [True, False])
def test_the_command_says_what_is_proved_or_why_not(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch, *, is_well: bool
) -> None:
    monkeypatch.setattr(engine_command, "Systemd", lambda: one)
    monkeypatch.setattr(one, "access", lambda *_: FakeEngine(one, UNIT))
    if not is_well:
        proved(monkeypatch, NotProved("it is unconfined"))
    words = ["--prefix", str(one.places.prefix), "engine", "prove", "containerd", "--json"]
    result = CliRunner().invoke(main, [*words, "--config", str(one.config)])
    document = json.loads(result.stdout)
    told = ("canary-runc-wrap runc-wrap", None) if is_well else (None, "it is unconfined")
    assert (document["proved"], document["reason"]) == told
    assert result.exit_code == (0 if is_well else 1)


Seen = Callable[[], tuple[list[str], list[str]]]
OLD, NEW = "1.7.24", "2.1.4"
WAITS = f"containerd {NEW} is installed, and {OLD} runs: restart {UNIT} if it was upgraded"


@pytest.fixture
def seen(registered: FakeNode, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Return which handlers `engine status` calls proved with another version, and its words.

    The handler was proved with OLD, and NEW is on the disk.
    """
    monkeypatch.setattr(registered, "access", lambda *_: FakeEngine(registered, version=NEW))

    def look() -> tuple[list[str], list[str]]:
        found = registered.shown()
        names = [each["handler"] for each in found["handlers"] if each["upgraded"]]
        assert found["upgraded"] is bool(names)
        return names, [*found["drift"], *found["remarks"]]

    return look


def test_an_upgraded_engine_is_another_one_until_a_canary_proves_it(
    one: FakeNode, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.version = NEW
    told = f"containerd was {OLD} when runc-wrap was proved, and is {NEW}; run `engine prove "
    drift = f"{told}containerd --config {one.config}`"
    assert seen() == (["runc-wrap"], [drift])
    proved(monkeypatch, NotProved("it is unconfined"))
    with pytest.raises(NotProved):
        one.prove()
    assert seen() == (["runc-wrap"], [drift])
    proved(monkeypatch)
    one.prove()
    assert seen() == ([], [])


def test_a_program_that_awaits_a_restart_is_not_what_is_proved(one: FakeNode, seen: Seen) -> None:
    for _ in range(2):
        assert seen() == ([], [WAITS])
        assert one.shown()["version"] == OLD
        one.prove()
    one.version = NEW
    assert seen()[0] == ["runc-wrap"]


def test_an_engine_that_is_replaced_while_its_canary_runs_is_not_proved(
    one: FakeNode, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = FakeEngine.canary

    @contextmanager
    def canary(engine: FakeEngine, handler: str, var: Path) -> Iterator[str]:
        with started(engine, handler, var) as container:
            yield container
        one.version = NEW

    monkeypatch.setattr(FakeEngine, "canary", canary)
    one.prove()
    assert seen()[0] == ["runc-wrap"]


def test_a_canary_proves_its_own_handler_only(one: FakeNode, seen: Seen) -> None:
    one.run(handler="other")
    one.version = NEW
    assert seen()[0] == ["runc-wrap", "other"]
    one.prove()
    names, (drift,) = seen()
    assert names == ["other"]
    assert drift.endswith(" --handler other`")


@pytest.mark.parametrize("spoiled", ["", "[]", "{}", '{"begun": "x"}'])
def test_a_record_that_cannot_be_read_is_none(one: FakeNode, seen: Seen, spoiled: str) -> None:
    (path,) = (one.places.var / "proofs").iterdir()
    path.write_text(spoiled)
    assert proof_record.read(one.where) is None
    one.version = NEW
    assert seen() == ([], [])
    one.run()
    assert proof_record.read(one.where) is not None


def test_dockers_client_is_not_taken_for_its_daemon(
    one: FakeNode, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen() == ([], [WAITS])
    (file,) = one.places.engines.iterdir()
    file.write_text(file.read_text().replace('"containerd"', '"docker"'))
    engine_says(monkeypatch, running={"runc-wrap": None})
    monkeypatch.setattr(FakeEngine, "checks_files", Docker.checks_files)
    assert WAITS.replace("containerd", "docker") not in seen()[1]
