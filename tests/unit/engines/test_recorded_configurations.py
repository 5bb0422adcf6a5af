"""Each recorded configuration gets two handlers and loses them again, byte for byte."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.engines import toml_text
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import plan_execution, registration_plan
from tests.unit.engines.containerd_loader import NEWEST, OLD, loaded
from tests.unit.engines.engine_node import node, remove, snapshot, toml, write
from tests.unit.engines.recorded_configurations import ALL, CONTAINERD, REFUSED, Recorded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runc_wrap.engines.registration.registration_state import Where

# What editors make of a file.
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "no final newline": lambda text: text.rstrip("\n"),
    "blank lines": lambda text: f"\n\n{text}\n \n\n" if text else text,
}


def _made(tmp_path: Path, recorded: Recorded, form: str = "as it is") -> Where:
    for path, text in recorded.files.items():
        write(tmp_path / path, FORMS[form](text.replace("{root}", str(tmp_path))))
    where = node(tmp_path, recorded.engine)
    return replace(where, config=tmp_path / recorded.config)


def _added(where: Where, recorded: Recorded, name: str, *, default: bool = False) -> None:
    plan = registration_plan.plan_add(where, name, recorded.facts, default=default)
    plan_execution.carry_out(plan)


def _in_force(where: Where, recorded: Recorded) -> dict[str, Any]:
    """Return {"default", "runtimes": {name: path}} as the engine reads its files."""
    return _READERS[recorded.engine](where, recorded.facts)


def _containerd(where: Where, facts: dict[str, Any]) -> dict[str, Any]:
    if facts["major"] == 1:
        document = toml(where.config) if where.config.exists() else {}
        section = toml_text.lookup(document, ["plugins", OLD, "containerd"])
    else:
        section = loaded(where.config, min(facts["minor"], max(NEWEST)) or 1)
    runtimes = {
        name: each.get("options", {}).get("BinaryName", "")
        for name, each in section.get("runtimes", {}).items()
    }
    return {"default": section.get("default_runtime_name"), "runtimes": runtimes}


def _crio(where: Where, _facts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"default": None, "runtimes": {}}
    folder = where.config.with_name("crio.conf.d")
    for path in (where.config, *sorted(folder.glob("*"))):
        runtime = toml_text.lookup(toml(path), ["crio", "runtime"]) if path.exists() else {}
        found["default"] = runtime.get("default_runtime", found["default"])
        for name, each in runtime.get("runtimes", {}).items():
            found["runtimes"][name] = each["runtime_path"]
    return found


def _podman(where: Where, _facts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"default": None, "runtimes": {}}
    folder = where.config.with_name("containers.conf.d")
    for path in (where.config, *sorted(folder.glob("*.conf"))):
        engine = toml(path).get("engine", {}) if path.exists() else {}
        found["default"] = engine.get("runtime", found["default"])
        found["runtimes"] |= {name: paths[0] for name, paths in engine.get("runtimes", {}).items()}
    return found


def _docker(where: Where, _facts: dict[str, Any]) -> dict[str, Any]:
    text = where.config.read_text() if where.config.exists() else ""
    document = json.loads(text.strip() or "{}")
    runtimes = {name: each["path"] for name, each in document.get("runtimes", {}).items()}
    return {"default": document.get("default-runtime"), "runtimes": runtimes}


_READERS: dict[str, Callable[[Where, dict[str, Any]], dict[str, Any]]] = {
    "containerd": _containerd,
    "crio": _crio,
    "podman": _podman,
    "docker": _docker,
}


@pytest.mark.parametrize(("recorded", "form"), [*zip(ALL, cycle(FORMS))], ids=str)
def test_two_handlers_come_and_go_and_every_byte_is_as_it_was(
    recorded: Recorded, form: str, tmp_path: Path
) -> None:
    where = _made(tmp_path, recorded, form)
    files, before = snapshot(tmp_path), _in_force(where, recorded)
    _added(where, recorded, "a")
    _added(where, recorded, "b", default=True)
    found = _in_force(where, recorded)
    ours = {name: str(where.bin_dir / name) for name in "ab"}
    theirs = {name: path for name, path in found["runtimes"].items() if name not in ours}
    assert found["runtimes"] == theirs | ours
    assert theirs in (before["runtimes"], {"runc": ""} | before["runtimes"])  # runc: the built-in
    assert found["default"] == "b"
    remove(where, "b")
    assert _in_force(where, recorded)["default"] == before["default"]
    remove(where, "a")
    assert snapshot(tmp_path) == files


@pytest.mark.parametrize("recorded", CONTAINERD, ids=str)
def test_a_handler_of_containerd_has_the_cgroup_driver_of_its_owners_runc(
    recorded: Recorded, tmp_path: Path
) -> None:
    where = _made(tmp_path, recorded)
    _added(where, recorded, "a")
    paths = [where.config, *where.config.parent.glob("conf.d/*.toml")]
    written = "".join(path.read_text() for path in paths if path.exists())
    ours = written.split('BinaryName = "' + str(where.bin_dir / "a"))[1].split("\n[")[0]
    has_one = any("SystemdCgroup = true" in text for text in recorded.files.values())
    assert ("SystemdCgroup = true" in ours) is has_one


def test_a_file_of_containerd_1_without_a_version_is_refused_and_stays(tmp_path: Path) -> None:
    where = _made(tmp_path, REFUSED)
    files = snapshot(tmp_path)
    with pytest.raises(EngineError, match=r"no `version` line means 1.*config dump"):
        _added(where, REFUSED, "a")
    assert snapshot(tmp_path) == files
