"""A simulated node: an installed wrapper, an engine's configuration, and its files."""

import tomllib
from pathlib import Path
from typing import Any

from runc_wrap.engines import engine_registry
from runc_wrap.engines.registration import registration_plan
from runc_wrap.engines.registration.registration_state import Where

FACTS: dict[str, dict[str, Any]] = {"containerd": {"major": 1}, "podman": {"crun": False}}


def node(tmp_path: Path, engine: str, folder: str = "etc") -> Where:
    binaries = tmp_path / "bin"
    binaries.mkdir(exist_ok=True)
    (binaries / "runc-wrap").touch()
    config = tmp_path / folder / engine_registry.ENGINES[engine].usual.name
    return Where(engine, config, binaries, tmp_path / "var" / "engines")


def add(where: Where, name: str = "runc-wrap", *, default: bool = False, **facts: Any) -> None:
    if where.engine != "containerd":
        facts.pop("major", None)  # a fact of containerd's only
    wanted = FACTS.get(where.engine, {}) | facts
    registration_plan.carry_out(registration_plan.plan_add(where, name, wanted, default=default))


def remove(where: Where, name: str = "runc-wrap", runtime: Path | None = None) -> None:
    registration_plan.carry_out(registration_plan.plan_remove(where, name, runtime))


def write(path: Path, text: str | None) -> Path:
    if text is None:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def snapshot(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
        if "var" not in path.parts[len(folder.parts) :]
    }
