"""Querying the engines: their versions, and whether they know a handler."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.engines import (
    containerd_config,
    crio_config,
    docker_config,
    engine_files,
    podman_config,
    toml_text,
)
from runc_wrap.engines.containerd import generated_config, handler_tables, loaded_files
from runc_wrap.engines.handler import EngineError, Handler
from runc_wrap.engines.kinds import containerd_kind, crio_kind, docker_kind, podman_kind
from runc_wrap.engines.kinds.containerd_kind import Containerd
from runc_wrap.engines.kinds.crio_kind import Crio
from runc_wrap.engines.kinds.docker_kind import Docker
from runc_wrap.engines.kinds.podman_kind import Podman
from runc_wrap.engines.registration import plan_execution
from runc_wrap.host import program
from runc_wrap.node import installed_programs

if TYPE_CHECKING:
    from runc_wrap.engines.kinds.engine_kind import Engine, Installation
    from runc_wrap.engines.registration.registration_plan import Plan

KINDS: dict[str, Engine] = {kind.name: kind for kind in (Containerd(), Crio(), Podman(), Docker())}
CONFIGS = {
    "containerd": containerd_config.CONFIG,
    "crio": crio_config.CONFIG,
    "podman": podman_config.CONFIG,
    "docker": docker_config.CONFIG,
}
_AT = {
    "containerd": containerd_kind.at,
    "crio": crio_kind.at,
    "podman": podman_kind.at,
    "docker": docker_kind.at,
}


def installation(engine: str, config: Path) -> Installation:
    """Return the engine that reads this configuration, installed or not."""
    return _AT[engine](config)


def detected() -> list[Installation]:
    """Return every engine of this node."""
    return [each for kind in KINDS.values() for each in kind.detect()]


def generation(text: str | None) -> tuple[int, int]:
    """Return (1 or 2, minor) of containerd's version. Raises EngineError."""
    found = re.match(r"v?(\d+)\.(\d+)?", text or "")
    if found is None:
        raise EngineError(
            "containerd's version is unknown: no containerd answers to --version",
            "1.x or 2.x, which are configured differently",
            "--containerd-version 2.1",
        )
    return (1 if int(found[1]) < 2 else 2, int(found[2] or 0))  # noqa: PLR2004  # containerd 2


def facts(
    engine: str, containerd_version: str | None, prefix: Path, config: Path | None = None
) -> dict[str, Any]:
    """Return the facts that `render` needs: {major, minor} for containerd, {crun} for Podman."""
    if engine == "containerd":
        text = containerd_version or installation(engine, config or CONFIGS[engine]).version
        major, minor = generation(text)
        return {"major": major, "minor": minor}
    return {"crun": installed_programs.runtime_kind(prefix) == "crun"} if engine == "podman" else {}


def in_force(engine: str, config: Path, handler: Handler) -> bool | None:
    """Return whether the engine itself shows the handler, None if it cannot be queried."""
    if engine == "podman" and config == CONFIGS[engine]:
        return podman_kind.shows(handler.name, handler.path)
    if engine == "docker" and config != CONFIGS[engine]:
        return None
    shown = KINDS[engine].in_force(installation(engine, config))
    return None if shown is None else shown.get(handler.name) == handler.path


def dump(config: Path) -> dict[str, Any] | None:
    """Return containerd's configuration in force, including imports; None if it prints none."""
    return containerd_kind.dump(containerd_kind.at(config))


def answers_at(found: Installation) -> Path:
    """Return the socket at which containerd or CRI-O answers: as its own files say."""
    if found.engine == "crio":
        return crio_kind.answers_at(found)
    return containerd_kind.answers_at(found, containerd_kind.dump(found))


def problem(engine: str, config: Path, handler: Handler, facts: dict[str, Any]) -> str | None:
    """Return one sentence on what is wrong with a new registration, None if nothing is known."""
    if not _can_check(engine, config, facts):
        return None
    if engine == "docker":
        if not docker_config.can_validate(installed_programs.version(engine)):
            return None
        if program.output("dockerd", "--validate", f"--config-file={config}") is None:
            return f"dockerd --validate refuses {config}"
        return None
    if not in_force(engine, config, handler):
        return f"{engine} does not show the handler {handler.name} in its configuration in force"
    return _differing(config, handler) if engine == "containerd" else None


def cri_is_off(found: Installation) -> str:
    """Return a sentence if containerd's CRI plugin is disabled, otherwise "".

    Raises EngineError for a file that cannot be read.
    """
    if found.engine != "containerd":
        return ""
    text = engine_files.read(found.config) or ""
    told = loaded_files.disabled(toml_text.parse(text, str(found.config)), str(found.config))
    return told[0] if told else ""


def refusal(engine: str, config: Path) -> str:
    """Return what the engine's own check says against its configuration; "" if it accepts it."""
    command = KINDS[engine].check_command(installation(engine, config))
    return program.failure(*command) if command else ""


def carry_out_checked(plan: Plan) -> None:
    """Execute the plan; take all of it back if the engine then refuses what it accepted before.

    Raises EngineError, also for what plan_execution.carry_out does.
    """
    engine, config = plan.where.engine, plan.where.config
    was_refused = bool(plan.changes and refusal(engine, config))

    def check() -> None:
        if said := refusal(engine, config) if plan.changes and not was_refused else "":
            raise EngineError(
                f"{engine} refuses its configuration with this handler: {said}; it is as before",
                "one that it accepts",
                "correct what it names, then run this again",
            )

    plan_execution.carry_out(plan, check=check)


def _differing(config: Path, handler: Handler) -> str | None:
    """Return a sentence if containerd shows the owner's runc with settings that ours lacks."""
    section = loaded_files.carried_over(dump(config) or {})
    default = section.get("default_runtime_name")
    if handler.default and default != handler.name:
        return (
            f"the default handler is {default}: a later file of containerd's configuration says so"
        )
    found = handler_tables.differing(section, handler.name)
    return (
        f"the handler {handler.name} has other settings than runc: {'; '.join(found)}"
        if found
        else None
    )


def _can_check(engine: str, config: Path, facts: dict[str, Any]) -> bool:
    """Return whether the engine is installed, of the expected generation, and reads this file."""
    if installation(engine, config).binary is None:
        return False
    if engine == "containerd":
        if generated_config.waits_for_start(config):
            return False
        version = installation(engine, config).version
        return version is not None and generation(version)[0] == facts["major"]
    return engine != "podman" or config == CONFIGS[engine]


def survey(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return [{engine, binary, version, found: [_found, ...], registered: [_row, ...]}].

    `binary` and `version` are of the first one found.
    """
    return [_surveyed(engine, states) for engine in CONFIGS]


def _surveyed(engine: str, states: list[dict[str, Any]]) -> dict[str, Any]:
    own = [state for state in states if state["engine"] == engine]
    found = [_found(each) for each in KINDS[engine].detect()]
    first = found[0] if found else {"binary": None, "version": None}
    return {
        "engine": engine,
        "binary": first["binary"],
        "version": first["version"],
        "found": found,
        "registered": [row for state in own for row in _rows(state)],
    }


def _found(each: Installation) -> dict[str, Any]:
    return {
        "config": str(each.config),
        "binary": str(each.binary) if each.binary else None,
        "version": each.version,
        "distribution": each.flavour or None,
        "unit": each.unit or None,
        "socket": str(each.socket) if each.socket else None,
    }


def _rows(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the handlers of one configuration."""
    return [_row(state, each) for each in state["handlers"]]


def _row(state: dict[str, Any], handler: dict[str, Any]) -> dict[str, Any]:
    shows = in_force(state["engine"], Path(state["config"]), Handler(**handler))
    rest = {key: handler[key] for key in ("path", "default")}
    return {"config": state["config"], "handler": handler["name"], **rest, "in_force": shows}
