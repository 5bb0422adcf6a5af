"""What each version of containerd loads, and that ours changes nothing of it but what is ours.

containerd_loader has the model of its own loader.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.engines.containerd import loaded_files
from runc_wrap.engines.handler import EngineError
from tests.unit.engines.containerd_loader import (
    DROP_INS,
    MAINS,
    NEWEST,
    RefusedError,
    loaded,
    without_ours,
)
from tests.unit.engines.engine_node import add, node, remove, snapshot, toml, write

if TYPE_CHECKING:
    from pathlib import Path

# One in eleven of all combinations: each main file, drop-in, version and name occurs.
DRAWN = [*product(MAINS, DROP_INS, NEWEST, ["10-own.toml", "90-own.toml"])][::11]


@pytest.mark.parametrize(("main", "drop_in", "minor", "name"), DRAWN)
def test_our_handler_has_the_owners_settings_and_changes_nothing_else(
    main: str, drop_in: str, minor: int, name: str, tmp_path: Path
) -> None:
    where = node(tmp_path, "containerd")
    write(where.config, MAINS[main])
    write(tmp_path / "etc/conf.d" / name, DROP_INS[drop_in])
    before, files = _tried(where.config, minor), snapshot(tmp_path)
    if before is None:  # it did not start before either
        return
    add(where, major=2, minor=minor)
    after = loaded(where.config, minor)
    ours = after["runtimes"]["runc-wrap"]
    runtimes = before.get("runtimes", {})
    assert without_ours(after) == {**before, "runtimes": runtimes}
    base = runtimes.get("runc", {}).get("options", {})
    assert ours["options"] == {"BinaryName": str(where.bin_dir / "runc-wrap"), **base}
    remove(where)
    assert snapshot(tmp_path) == files


def _tried(config: Path, minor: int) -> dict[str, Any] | None:
    try:
        return loaded(config, minor)
    except RefusedError:
        return None


def test_a_created_main_file_does_not_put_in_force_what_was_ignored(tmp_path: Path) -> None:
    """Of issue 13: containerd then refused to start."""
    where = node(tmp_path, "containerd")
    write(tmp_path / "etc/conf.d/10-own.toml", DROP_INS["4, runc"])
    add(where, major=2, minor=3)
    main = toml(where.config)
    assert main["imports"] == [f"{where.config.parent}/conf.d/50-runc-wrap-*.toml"]
    assert set(loaded(where.config, 3)["runtimes"]) == {"runc-wrap"}


def test_a_state_of_an_earlier_release_is_removed_and_extended(tmp_path: Path) -> None:
    """Its facts have no minor version, and its import is of all of conf.d."""
    where = node(tmp_path, "containerd")
    write(where.config, "version = 3\n")
    before = snapshot(tmp_path)
    add(where, major=2)
    assert '"minor"' not in where.state_file.read_text()
    add(where, "b", major=2, minor=2)
    for name in ("b", "runc-wrap"):
        remove(where, name)
    assert snapshot(tmp_path) == before


def test_imports_are_read_breadth_first_and_each_file_once(tmp_path: Path) -> None:
    main = write(tmp_path / "main.toml", "imports = ['b.toml', 'a*.toml']\n")
    write(tmp_path / "b.toml", "imports = ['c.toml', 'main.toml']\n")
    write(tmp_path / "a1.toml", "")
    write(tmp_path / "c.toml", "imports = ['b.toml']\n")
    found = loaded_files.load(main, toml(main))
    assert [each.path.name for each in found] == ["main.toml", "b.toml", "a1.toml", "c.toml"]


def test_endless_imports_are_refused(tmp_path: Path) -> None:
    main = write(tmp_path / "main.toml", "imports = ['d/*.toml']\n")
    for number in range(1001):
        write(tmp_path / f"d/{number}.toml", "")
    with pytest.raises(EngineError, match="over 1000 files"):
        loaded_files.load(main, toml(main))
