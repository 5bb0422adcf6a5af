"""Whatever valid TOML the owner wrote: what we add is that and nothing else, and goes again.

tomlkit reads it a second time, so that no reading of ours judges itself.
"""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import tomlkit
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tomlkit.exceptions import ParseError

from runc_wrap.engines import toml_text
from runc_wrap.engines.handler import EngineError
from tests.unit.engines.engine_node import add, node, remove, snapshot, write
from tests.unit.engines.generated_toml import CRI, documents

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from runc_wrap.engines.registration.registration_state import Where

SECTION = ["plugins", CRI, "containerd"]


def read_by_both(text: str) -> dict[str, Any]:
    """Return a document that both readers understand as the same.

    Line ends within a string are a reader's own choice: tomlkit keeps them. It takes a table that
    follows its own subtable, which TOML allows, for a second one if more of that come later.
    """
    found = tomllib.loads(text)
    try:
        other = tomlkit.parse(text).unwrap()
    except ParseError as error:
        if "already exists" not in str(error):
            raise
        event("tomlkit does not read it")
        return found
    assert _plain(other) == _plain(found)
    return found


def _plain(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, default=str).replace("\\r\\n", "\\n")


def _ours(before: dict[str, Any], after: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what a registration adds, as a document."""
    added: dict[str, Any] = {"runtimes": {"x": after["runtimes"]["x"]}}
    if not before.get("runtimes"):
        added["runtimes"]["runc"] = {"runtime_type": "io.containerd.runc.v2"}
    added |= {"default_runtime_name": name} if name else {}
    return {"plugins": {CRI: {"containerd": added}}}


@given(text=documents, default=st.booleans(), edited=st.booleans())
@settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_any_main_file_of_containerd_1_gets_our_handler_and_loses_it_again(
    text: str, default: bool, edited: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = node(tmp_path_factory.mktemp("node"), "containerd")
    write(where.config, text)
    before = snapshot(where.config.parent)
    try:
        add(where, "x", default=default)
    except EngineError as error:
        event(f"refused: {str(error).split(';')[1][:30]}")
        assert snapshot(where.config.parent) == before
        return
    event("added")
    owners, after = read_by_both(text), read_by_both(_text(where.config))
    sections = [toml_text.lookup(document, SECTION) for document in (owners, after)]
    expected = toml_text.merged(owners, _ours(sections[0], sections[1], "x" if default else ""))
    assert after == expected
    runc = sections[0].get("runtimes", {}).get("runc", {}).get("options", {})
    ours = sections[1]["runtimes"]["x"]["options"]
    assert ours == {"BinaryName": str(where.bin_dir / "x"), **runc}
    _removed(where, before, edited=edited)


def _removed(where: Where, before: dict[str, Any], *, edited: bool) -> None:
    """Remove it, also from a file in which its owner has written since."""
    if not edited:
        remove(where, "x")
        assert snapshot(where.config.parent) == before
        return
    owners = before[str(where.config)][1].decode()
    write(where.config, f"# theirs\n{_text(where.config)}\n[theirs]\n")
    remove(where, "x")
    head, _, tail = _text(where.config).rpartition("\n[theirs]\n")
    assert (head.rstrip("\n"), tail) == (f"# theirs\n{owners}".rstrip("\n"), "")


def _text(path: Path) -> str:
    return path.read_bytes().decode()


@given(text=documents, minor=st.sampled_from([1, 3]), default=st.booleans(), edited=st.booleans())
@settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_any_main_file_of_containerd_2_gets_an_import_and_nothing_else(
    text: str, minor: int, default: bool, edited: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = node(tmp_path_factory.mktemp("node"), "containerd")
    write(where.config, text)
    before = snapshot(where.config.parent)
    try:
        add(where, "x", default=default, major=2, minor=minor)
    except EngineError as error:
        event(f"refused: {str(error).split(';')[1][:30]}")
        assert snapshot(where.config.parent) == before
        return
    pattern = str(where.config.parent / "conf.d/50-runc-wrap-*.toml")
    assert read_by_both(_text(where.config)) == {**read_by_both(text), "imports": [pattern]}
    read_by_both(_text(where.config.parent / "conf.d/50-runc-wrap-x.toml"))
    _removed(where, before, edited=edited)
