"""Podman, and Buildah by the same files: they read containers.conf at every command.

`podman info` names the runtime that is chosen, and fails for a name that it does not know.
"""

from __future__ import annotations

import json
from pathlib import Path

from runc_wrap.engines import podman_config
from runc_wrap.engines.kinds.engine_kind import ROOT, Installation, Reload, unit_of
from runc_wrap.host import program
from runc_wrap.node import installed_programs

SOCKET = Path("/run/podman/podman.sock")
_MOST = 50  # drop-ins of ours


class Podman:
    """See engine_kind.Engine."""

    name = "podman"

    def detect(self, root: Path = ROOT) -> list[Installation]:
        """Return Podman if it or Buildah is installed."""
        names = ("podman", "buildah")
        return [at(podman_config.CONFIG, root)] if any(map(program.locate, names)) else []

    def check_command(self, found: Installation) -> list[str] | None:
        """Return `podman info`, which reads every file; None for another than the system's."""
        usual = found.config == podman_config.CONFIG
        return [str(found.binary), "info"] if found.binary and usual else None

    def reload(self, found: Installation, *, loses_default: bool = False) -> Reload:
        """Return none: every command reads the files; the API service is a command, too."""
        del found, loses_default
        return "none"

    def in_force(self, found: Installation) -> dict[str, str] | None:
        """Return our handlers and the default as `podman info` shows them."""
        if found.binary is None or found.config != podman_config.CONFIG:
            return None
        names = podman_config.handlers_in(found.config)[:_MOST]
        shown = [_shown(found.binary, "--runtime", name) for name in names]
        known = [each for each in [_shown(found.binary), *shown] if each]
        return dict(known) or None


def default_handler(found: Installation) -> str | None:
    """Return the runtime that a command chooses which names none; None if it is not told."""
    if found.binary is None or found.config != podman_config.CONFIG:
        return None
    shown = _shown(found.binary)
    return shown[0] if shown else None


def _shown(binary: Path, *words: str) -> tuple[str, str] | None:
    wanted = ("info", "--format", "{{json .Host.OCIRuntime}}")
    info = program.output(str(binary), *words, *wanted)
    try:
        told = json.loads(info or "null")
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    return str(told.get("name")), str(told.get("path") or "")


def shows(name: str, path: str) -> bool | None:
    """Tell whether Podman knows our handler by this path; None if it does not answer."""
    binary = program.locate("podman")
    found = _shown(binary, "--runtime", name) if binary else None
    return None if found is None else found[1] == path


def at(config: Path, root: Path = ROOT) -> Installation:
    """Return the Podman that reads this configuration."""
    binary = program.locate("podman")
    version = installed_programs.version("podman") if binary else None
    has_service = (root / "usr/lib/systemd/system/podman.service").exists()
    unit = unit_of(("podman.service",), root) if has_service else ""
    return Installation("podman", config, binary, unit, SOCKET, "", version)
