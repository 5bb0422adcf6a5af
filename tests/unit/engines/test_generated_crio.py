"""Whatever files CRI-O's owner wrote: what is in force with ours is that and our runtime.

What CRI-O makes of its files is told here a second time, by tomlkit and CRI-O's sources
(pkg/config/config.go: UpdateFromDropInPath, UpdateFromFile, and RuntimeHandler's validation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from runc_wrap.engines.handler import EngineError
from tests.unit.engines.engine_node import add, node, remove, snapshot, write
from tests.unit.engines.generated_toml import of_crio_runtimes
from tests.unit.engines.test_generated_toml import read_by_both

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# In this order, ours is the fourth.
PLACES = ("crio.conf", "crio.conf.d/00", "crio.conf.d/10-own.conf", "crio.conf.d/99/late.conf")
# What names a program other than ours, or copies such a name at CRI-O's start.
NOT_OURS = {
    *("runtime_path", "runtime_type", "runtime_config_path", "runtime_pull_image"),
    *("platform_runtime_paths", "inherit_default_runtime"),
}


def _in_force(folder: Path) -> dict[str, Any]:
    """Return [crio.runtime]: a later file replaces a key, and a whole table of one runtime."""
    found: dict[str, Any] = {"runtimes": {}}
    files = [folder / "crio.conf", *sorted((folder / "crio.conf.d").rglob("*"))]
    for path in files:
        document = read_by_both(path.read_bytes().decode()) if path.is_file() else {}
        runtime = _table(document, "crio", "runtime")
        runtimes = {**found["runtimes"], **_table(runtime, "runtimes")}
        found = {**found, **runtime, "runtimes": runtimes}
    return found


def _table(document: dict[str, Any], *path: str) -> dict[str, Any]:
    for key in path:
        inner = document.get(key)
        document = inner if isinstance(inner, dict) else {}
    return document


def _repeated(runtime: dict[str, Any]) -> dict[str, Any]:
    """Return what ours has of the default's table: of crun's or runc's if that has none."""
    for name in (runtime.get("default_runtime"), "crun", "runc"):
        table = runtime["runtimes"].get(name) if isinstance(name, str) else None
        if isinstance(table, dict):
            is_oci = table.get("runtime_type", "oci") in ("", "oci")
            return {key: table[key] for key in table if key not in NOT_OURS} if is_oci else {}
    return {}


@given(
    texts=st.dictionaries(st.sampled_from(PLACES), of_crio_runtimes, min_size=1, max_size=4),
    default=st.booleans(),
)
@settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_with_any_files_of_cri_o_ours_is_in_force_as_its_default_is_and_goes_again(
    texts: dict[str, str], default: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = node(tmp_path_factory.mktemp("node"), "crio")
    folder = where.config.parent
    for name, text in texts.items():
        write(folder / name, text)
    before = snapshot(folder)
    try:
        add(where, "x", default=default)
    except EngineError as error:
        event(f"refused: {str(error).split(';')[-2][:40]}")
        assert snapshot(folder) == before
        return
    remove(where, "x")
    assert snapshot(folder) == before
    owners = _in_force(folder)
    add(where, "x", default=default)
    ours = {"runtime_path": str(where.bin_dir / "x"), "runtime_type": "oci"}
    expected = {**owners, "runtimes": {**owners["runtimes"], "x": ours | _repeated(owners)}}
    late = read_by_both(texts.get(PLACES[3], ""))
    if default and "default_runtime" not in _table(late, "crio", "runtime"):
        expected["default_runtime"] = "x"
    event("added")
    assert _in_force(folder) == expected
    remove(where, "x")
    assert snapshot(folder) == before
