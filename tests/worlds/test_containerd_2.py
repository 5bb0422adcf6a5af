"""The installed containerd 2 loads what `engine add` writes, and everything else as before.

Each case is read by `containerd config dump`, which has the daemon's own loader.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from harness.host.processes import attempt, installed_version
from harness.node.requirements import program
from tests.unit.engines.containerd_loader import DROP_INS, MAINS, NEW, RefusedError, loaded
from tests.unit.engines.engine_node import add, node, remove, snapshot, write

pytestmark = pytest.mark.skipif(
    "RUNC_WRAP_WORLD" not in os.environ, reason="run by make test-forky-all"
)


def _dump(config: Path) -> dict[str, Any] | None:
    """Return the CRI's section in force, None if containerd refuses to read it."""
    done = attempt([program("containerd"), "-c", str(config), "config", "dump"])
    if done.returncode:
        return None
    return dict(tomllib.loads(done.stdout)["plugins"][NEW]["containerd"])


def _model(config: Path, minor: int) -> dict[str, Any] | None:
    try:
        return loaded(config, minor)
    except RefusedError:
        return None


def _options(section: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what is set of a handler's options; a dump also has what nobody set."""
    found = section.get("runtimes", {}).get(name, {}).get("options", {})
    return {key: value for key, value in found.items() if value}


@pytest.mark.parametrize("drop_in", DROP_INS)
@pytest.mark.parametrize("main", MAINS)
@pytest.mark.parametrize("name", ["10-own.toml", "90-own.toml"])
def test_containerd_shows_our_handler_and_all_else_as_before(
    main: str, drop_in: str, name: str, tmp_path: Path
) -> None:
    minor = int(installed_version("containerd").split(".")[1])
    where = node(tmp_path, "containerd")
    for path, text in ((where.config, MAINS[main]), (f"etc/conf.d/{name}", DROP_INS[drop_in])):
        if text is not None:
            write(tmp_path / path, text)
    before, model, files = _dump(where.config), _model(where.config, minor), snapshot(tmp_path)
    assert (before is None) is (model is None)
    if before is None or model is None:
        return
    assert set(before["runtimes"]) == {"runc", *model.get("runtimes", {})}
    assert _options(before, "runc") == _options(model, "runc")
    add(where, major=2, minor=minor)
    after = _dump(where.config)
    assert after is not None
    wrapper = {"BinaryName": str(where.bin_dir / "runc-wrap")}
    assert _options(after, "runc-wrap") == wrapper | _options(before, "runc")
    del after["runtimes"]["runc-wrap"]
    assert after == before
    remove(where)
    assert snapshot(tmp_path) == files


def test_the_whole_default_configuration_gets_the_handler_and_is_restored(tmp_path: Path) -> None:
    """As many write it to config.toml."""
    minor = int(installed_version("containerd").split(".")[1])
    where = node(tmp_path, "containerd")
    write(where.config, attempt([program("containerd"), "config", "default"]).stdout)
    files = snapshot(tmp_path)
    add(where, major=2, minor=minor, default=True)
    found = _dump(where.config)
    assert found is not None
    assert found["default_runtime_name"] == "runc-wrap"
    assert _options(found, "runc-wrap") == {"BinaryName": str(where.bin_dir / "runc-wrap")}
    remove(where)
    assert snapshot(tmp_path) == files
