"""Docker: daemon.json, which dockerd checks by itself and reads again at SIGHUP."""

from __future__ import annotations

import json
from pathlib import Path

from runc_wrap.engines import docker_config
from runc_wrap.engines.kinds.engine_kind import ROOT, Installation, Reload, unit_of
from runc_wrap.host import program
from runc_wrap.node import installed_programs

SOCKET = Path("/run/docker.sock")


class Docker:
    """See engine_kind.Engine."""

    name = "docker"

    def detect(self, root: Path = ROOT) -> list[Installation]:
        """Return Docker if its daemon is installed or configured."""
        configured = (root / str(docker_config.CONFIG).lstrip("/")).exists()
        return [at(docker_config.CONFIG, root)] if configured or program.locate("dockerd") else []

    def check_command(self, found: Installation) -> list[str] | None:
        """Return `dockerd --validate`, in releases since 23.0.

        It needs no file at the usual place, but refuses to be told of one that is missing.
        """
        if found.binary is None or not docker_config.can_validate(found.version):
            return None
        is_usual = found.config == docker_config.CONFIG and not found.config.exists()
        told = [] if is_usual else [f"--config-file={found.config}"]
        return [str(found.binary), "--validate", *told]

    def reload(self, found: Installation, *, loses_default: bool = False) -> Reload:
        """Return a reload if that is enough: see docker_config.reload_command."""
        del found
        return "restart" if loses_default else "reload"

    def in_force(self, found: Installation) -> dict[str, str] | None:
        """Return the runtimes of `docker info`, of the daemon that runs."""
        del found
        info = program.output("docker", "info", "--format", "{{json .Runtimes}}")
        try:
            runtimes = json.loads(info or "null")
        except ValueError:
            return None
        if not isinstance(runtimes, dict) or not runtimes:
            return None
        return {name: _path(each) for name, each in runtimes.items()}


def _path(runtime: object) -> str:
    return str(runtime.get("path") or "") if isinstance(runtime, dict) else ""


def at(config: Path, root: Path = ROOT) -> Installation:
    """Return the Docker that reads this configuration."""
    binary = program.locate("dockerd")
    version = installed_programs.version("docker") if binary else None
    unit = unit_of(("docker.service",), root)
    return Installation("docker", config, binary, unit, SOCKET, "", version)
