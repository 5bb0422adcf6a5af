"""Querying the engines: their versions, and whether they know a handler."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.node import installed_programs
from runc_wrap.node.engines import containerd_config, docker_config, podman_config, toml_text
from runc_wrap.node.engines.handler import EngineError, Handler
from runc_wrap.node.engines.kinds.containerd_kind import Containerd
from runc_wrap.node.engines.kinds.crio_kind import Crio
from runc_wrap.node.engines.kinds.docker_kind import Docker
from runc_wrap.node.engines.kinds.podman_kind import Podman

if TYPE_CHECKING:
    from runc_wrap.node.engines.kinds.engine_kind import Engine

KINDS: dict[str, Engine] = {kind.name: kind for kind in (Containerd(), Crio(), Podman(), Docker())}
CONFIGS = {
    "containerd": containerd_config.CONFIG,
    "podman": podman_config.CONFIG,
    "docker": docker_config.CONFIG,
}


def major(text: str | None) -> int:
    """Return containerd's generation, 1 or 2, from its version. Raises EngineError."""
    found = re.match(r"v?(\d+)\.", text or "")
    if found is None:
        raise EngineError(
            "containerd's version is unknown: no containerd answers to --version",
            "1.x or 2.x, which are configured differently",
            "--containerd-version 2.1",
        )
    return 1 if int(found.group(1)) < 2 else 2  # noqa: PLR2004  # containerd 2


def facts(engine: str, containerd_version: str | None, prefix: Path) -> dict[str, Any]:
    """Return the facts that `render` needs: {major} for containerd, {crun} for Podman."""
    if engine == "containerd":
        return {"major": major(containerd_version or installed_programs.version(engine))}
    return {"crun": installed_programs.runtime_kind(prefix) == "crun"} if engine == "podman" else {}


def in_force(engine: str, config: Path, handler: Handler) -> bool | None:
    """Return whether the engine itself shows the handler, None if it cannot be queried."""
    if engine == "containerd":
        return _containerd_shows(config, handler)
    if config != CONFIGS[engine]:
        return None
    return _podman_shows(handler) if engine == "podman" else _docker_shows(handler)


def dump(config: Path) -> dict[str, Any] | None:
    """Return containerd's configuration in force, including imports; None if it prints none."""
    printed = installed_programs.output("containerd", "-c", str(config), "config", "dump")
    try:
        return None if printed is None else tomllib.loads(printed)
    except ValueError:
        return None


def _containerd_shows(config: Path, handler: Handler) -> bool | None:
    document = dump(config)
    if document is None:
        return None
    plugins = (containerd_config.OLD_CRI, containerd_config.NEW_CRI)
    paths = [["plugins", p, "containerd", "runtimes", handler.name, "options"] for p in plugins]
    return any(toml_text.lookup(document, p).get("BinaryName") == handler.path for p in paths)


def _podman_shows(handler: Handler) -> bool | None:
    info = installed_programs.output(
        "podman", "--runtime", handler.name, "info", "--format", "{{json .Host.OCIRuntime}}"
    )
    return None if info is None else json.loads(info).get("path") == handler.path


def _docker_shows(handler: Handler) -> bool | None:
    info = installed_programs.output("docker", "info", "--format", "{{json .Runtimes}}")
    try:
        runtimes = json.loads(info or "null")
    except ValueError:
        return None
    return None if not runtimes else runtimes.get(handler.name, {}).get("path") == handler.path


def problem(engine: str, config: Path, handler: Handler, facts: dict[str, Any]) -> str | None:
    """Return one sentence on what is wrong with a new registration, None if nothing is known."""
    if not _can_check(engine, config, facts):
        return None
    if engine == "docker":
        if not docker_config.can_validate(installed_programs.version(engine)):
            return None
        if installed_programs.output("dockerd", "--validate", f"--config-file={config}") is None:
            return f"dockerd --validate refuses {config}"
        return None
    if in_force(engine, config, handler):
        return None
    return f"{engine} does not show the handler {handler.name} in its configuration in force"


def _can_check(engine: str, config: Path, facts: dict[str, Any]) -> bool:
    """Return whether the engine is installed, of the expected generation, and reads this file."""
    if installed_programs.locate(installed_programs.PROGRAMS[engine]) is None:
        return False
    if engine == "containerd":
        return bool(major(installed_programs.version(engine) or "0.") == facts["major"])
    return engine == "docker" or config == CONFIGS[engine]


def survey(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return [{engine, binary, version, registered: [_row, ...]}]."""
    return [_surveyed(engine, states) for engine in CONFIGS]


def _surveyed(engine: str, states: list[dict[str, Any]]) -> dict[str, Any]:
    own = [state for state in states if state["engine"] == engine]
    binary = installed_programs.locate(installed_programs.PROGRAMS[engine])
    return {
        "engine": engine,
        "binary": str(binary) if binary else None,
        "version": installed_programs.version(engine),
        "registered": [row for state in own for row in _rows(state)],
    }


def _rows(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the handlers of one configuration, those that are kept last."""
    groups = ((state["handlers"], False), (state.get("kept", []), True))
    return [_row(state, each, is_kept=is_kept) for group, is_kept in groups for each in group]


def _row(state: dict[str, Any], handler: dict[str, Any], *, is_kept: bool) -> dict[str, Any]:
    shows = in_force(state["engine"], Path(state["config"]), Handler(**handler))
    rest = {key: handler[key] for key in ("path", "default")} | {"kept": is_kept}
    return {"config": state["config"], "handler": handler["name"], **rest, "in_force": shows}
