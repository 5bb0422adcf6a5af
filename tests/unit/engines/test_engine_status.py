"""`engine status` does not say "in force" of a handler by whose name something else is called."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.engines import engine_registry, engine_status
from runc_wrap.engines.cri import cri_runtime
from runc_wrap.engines.transaction import proof_record
from tests.unit.engines.transaction.killed_node import TEXT, FakeEngine, FakeNode, engine_says

pytestmark = pytest.mark.usefixtures("registered")


PATHS = [
    ({"options": {"BinaryName": "/x"}}, "/x"),
    ({"options": {"SystemdCgroup": True}}, ""),
    ({"options": None}, ""),
    ({}, None),
]


@pytest.mark.parametrize(("runtime", "path"), PATHS)
def test_a_handler_without_a_path_is_the_engines_own_runtime(
    runtime: dict[str, Any], path: str | None
) -> None:
    told = {"runtimes": {"runc-wrap": runtime}}
    assert cri_runtime.paths_in(told) == {"runc-wrap": path}


REACHED = [
    ("ours", "runc-wrap", ""),
    ("ours", None, ""),
    (None, "runc-wrap", ""),
    ("", "runc-wrap", "in force the handler runc-wrap is runc itself, not"),
    ("ours", "runc", "are started by runc, not by runc-wrap"),
]


@pytest.mark.parametrize(("path", "default", "said"), REACHED)
def test_what_does_not_reach_us_is_not_called_in_force(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch, path: str | None, default: str | None, said: str
) -> None:
    one.run(default=True)
    found = str(one.places.wrapper) if path == "ours" else path
    engine_says(monkeypatch, running={"runc-wrap": found}, default=default)
    shown = one.shown()
    (handler,) = shown["handlers"]
    assert handler["in_force"] is (path != "")
    assert handler["default_in_force"] is (default and default == "runc-wrap")
    assert len(shown["drift"]) == bool(said)
    assert said in "".join(shown["drift"])


UNTOLD = [
    ("containerd", "", ("containerd does not say which handlers are active: no answer", "")),
    ("crio", "it is down", ("crio does not say which handlers are active: it is down", "")),
    ("crio", "", ("", "crio answers, and lists no handlers over CRI: releases before 1.30")),
]


@pytest.mark.parametrize(("engine", "silence", "told"), UNTOLD)
def test_an_older_crio_that_answers_and_lists_no_handlers_is_no_drift(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch, engine: str, silence: str, told: tuple[str, str]
) -> None:
    drift, remark = told
    (file,) = one.places.engines.iterdir()
    file.write_text(file.read_text().replace('"containerd"', f'"{engine}"'))
    monkeypatch.setattr(FakeEngine, "untold", engine_registry.ENGINES[engine].untold)
    engine_says(monkeypatch, running=None, silence=silence, default=None)
    monkeypatch.setattr(one, "access", lambda _, config: FakeNode.access(one, "containerd", config))
    shown = one.shown()
    assert (bool(shown["drift"]), bool(shown["remarks"])) == (bool(drift), bool(remark))
    assert drift in "".join(shown["drift"])
    assert remark in "".join(shown["remarks"])


REFUSALS = [
    (None, "containerd refuses its files: no TOML", "refuses its files: no TOML; correct that"),
    (None, "", "was changed at"),
    ({"runc-wrap": None}, "never asked", "was changed at"),
]


@pytest.mark.parametrize(("configured", "refusal", "told"), REFUSALS)
def test_a_file_with_which_the_engine_would_not_start_is_not_advised_to_be_read(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch, configured: Any, refusal: str, told: str
) -> None:
    engine_says(monkeypatch, configured=configured, refusal=refusal)
    monkeypatch.setattr(one, "started", lambda _unit: 1.0)
    _change(one.config)
    shown = one.shown()
    (drift,) = shown["drift"]
    assert told in drift
    assert drift.endswith("; restart it") == (not refusal or configured is not None)


@pytest.mark.parametrize("at", ['"2027-01-31 18:00:0{}.1+01:00"', "2027-01-31T18:00:0{}Z"])
def test_an_engines_complaint_is_the_same_at_every_look(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """CRI-O's has the time of each line; the cluster is told again what is not the same."""
    looks = iter(range(9))

    def complaint(_: FakeEngine) -> str:
        lines = (f'time={at.format(next(looks))} level={word} msg="no TOML"' for word in "ab")
        return f"crio refuses its files: {' '.join(lines)}"

    engine_says(monkeypatch, configured=None, running=None)
    for name in ("refusal", "silence"):
        monkeypatch.setattr(FakeEngine, name, complaint)
    monkeypatch.setattr(one, "started", lambda _unit: 1.0)
    _change(one.config)
    surveys = (engine_status.survey(one.places, one) for _ in range(2))
    first, second = ([shown["drift"] for shown in each] for each in surveys)
    assert first == second
    said = 'crio refuses its files: level=a msg="no TOML" level=b msg="no TOML"'
    assert sum(said in each for drift in first for each in drift) == 2  # refused, and silent


def _chmod(path: Path) -> None:
    path.chmod(0o600)


def _rewrite(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(path.read_bytes())
    new.rename(path)


def _change(path: Path) -> None:
    path.write_text(path.read_text() + "# more\n")


def _put_older(path: Path) -> None:
    """As `mv` of a file that was saved long ago."""
    _change(path)
    os.utime(path, (1, 1))


DRIFT = "drift: was changed at"
KNOWN = [(_chmod, ""), (_rewrite, ""), (_change, DRIFT), (_put_older, DRIFT)]
WRITTEN = [
    *((what, True, restarts, told) for what, told in KNOWN for restarts in (False, True)),
    # registered without a transaction: a chmod may be another file that was put there
    *((what, False, True, DRIFT) for what in (_chmod, _change)),
]


@pytest.mark.parametrize(("what", "is_known", "restarts", "told"), WRITTEN)
def test_only_other_bytes_than_the_engine_has_read_are_drift(
    one: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
    what: Callable[[Path], None],
    *,
    is_known: bool,
    restarts: bool,
    told: str,
) -> None:
    where, ended = one.where, time.time()
    if not is_known:
        proof_record.forget(where)
    time.sleep(0.02)  # the kernel's clock of files has ticks
    started = time.time() if restarts else ended
    monkeypatch.setattr(engine_status, "_SLACK", 0.0)
    monkeypatch.setattr(one, "started", lambda _unit: started)
    time.sleep(0.02)
    what(one.config)
    shown = one.shown()
    rows = [("drift", each) for each in shown["drift"]]
    rows += [("remark", each) for each in shown["remarks"]]
    said = [f"{kind}: {each.removeprefix(str(one.config)).strip()}" for kind, each in rows]
    assert len(said) == bool(told), said
    assert "".join(said).startswith(told)


def test_a_handler_that_the_files_do_not_have_at_all_is_gone(
    one: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[dict[str, str | None] | None] = [{"runc-wrap": "/other"}, {"runc-wrap": None}, None]
    for configured in (*kept, {"runc": ""}):
        engine_says(monkeypatch, configured=configured)
        shown = one.shown()
        assert shown["handlers"][0]["gone"] is (configured not in kept)
    engine_says(monkeypatch, configured={})
    # there may be two of the engine
    advised = f"run `engine add containerd --config {one.config} --restart` again"
    assert advised in "".join(one.shown()["drift"])


def test_a_file_that_was_written_anew_without_us_is_registered_again_whole(one: FakeNode) -> None:
    """As nodeadm does at each boot of EKS; and the removal leaves what it wrote."""
    written = one.config.read_text()
    for text in (TEXT, f"# another one\n{TEXT}"):
        one.config.write_text(text)
        one.restart("engine.service", "restart")
        shown = one.shown()
        assert (shown["handlers"][0]["gone"], shown["handlers"][0]["in_force"]) == (True, False)
        one.run()
        assert one.config.read_text() == written.replace(TEXT, text)
    one.run("remove")
    assert one.config.read_text() == text
