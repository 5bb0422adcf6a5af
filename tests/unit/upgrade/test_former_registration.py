"""Registrations that the first form of 0.2.0 wrote are read, and removed to the byte.

registrations.json is what `engine add` of commit 9d876d8e left for two handlers, and what was there
before.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import registration_state
from runc_wrap.engines.registration.registration_state import Where
from tests.unit.engines.engine_node import FACTS, add, remove, snapshot, write

Json = dict[str, Any]
DATA = (Path(__file__).parent / "data/registrations.json").read_text()
NAMES = list(json.loads(DATA))


def _left(tmp_path: Path, name: str) -> tuple[Where, Json]:
    """Return a node as it was left, and the files that it had before."""
    found = json.loads(DATA.replace("{root}", str(tmp_path)))[name]
    for path, text in found["after"].items():
        write(tmp_path / path, text)
    state, binaries = found["state"], tmp_path / "bin"
    binaries.mkdir()
    (binaries / "runc-wrap").touch()
    where = Where(state["engine"], Path(state["config"]), binaries, tmp_path / "var/engines")
    write(where.state_file, json.dumps(state))
    return where, found["before"]


def _files(root: Path) -> Json:
    return {str(one.relative_to(root)): one.read_text()
            for one in (root / "etc").rglob("*") if one.is_file()}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_is_as_it_was_before(name: str, tmp_path: Path) -> None:
    where, before = _left(tmp_path, name)
    assert registration_state.of(where).names == ["runc-wrap", "b"]
    remove(where)
    assert registration_state.of(where).names == ["b"]
    remove(where, "b")
    assert _files(tmp_path) == before
    assert registration_state.states(where.state_dir) == []


@pytest.mark.parametrize("name", NAMES)
def test_it_is_carried_over_by_the_next_change(name: str, tmp_path: Path) -> None:
    where, before = _left(tmp_path, name)
    add(where, "c", **registration_state.of(where).facts or FACTS[where.engine])
    assert json.loads(where.state_file.read_text())["format"] == registration_state.FORMAT
    for handler in ("b", "c", "runc-wrap"):
        remove(where, handler)
    assert _files(tmp_path) == before


def test_what_the_owner_wrote_since_stays(tmp_path: Path) -> None:
    where, before = _left(tmp_path, "containerd 1")
    where.config.write_text(f"# top\n{where.config.read_text()}[theirs]\n")
    remove(where, "b")
    remove(where)
    assert where.config.read_text() == f"# top\n{before['etc/config.toml']}[theirs]\n"


@pytest.mark.parametrize(
    "change", [lambda text: text.replace("bin/b", "bin/theirs"), lambda text: f"# top\n{text}" * 2]
)
def test_what_was_changed_within_ours_is_named_and_left(change: Any, tmp_path: Path) -> None:
    where, _ = _left(tmp_path, "containerd 1")
    where.config.write_text(change(where.config.read_text()))
    files = snapshot(tmp_path)
    with pytest.raises(EngineError, match="changed since"):
        remove(where)
    assert snapshot(tmp_path) == files
