"""CRI-O: crio.conf and the drop-ins in crio.conf.d beside it.

`crio config` reads and validates them as the daemon does and prints the result. At SIGHUP the
daemon logs that it has taken runtimes (since 1.26), but into a copy of its configuration that no
pod is started with: 1.36.3 does not find a new handler until it is restarted (tried; server.New
copies what the runtimes are looked up in). A restart fails loudly, too, and ends no container.
Sources: cri-o internal/criocli/config.go, pkg/config/config.go, pkg/config/reload.go,
server/server.go, internal/oci/oci.go.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from runc_wrap.engines import crio_config, toml_text
from runc_wrap.engines.kinds.engine_kind import ROOT, Installation, Reload, unit_of
from runc_wrap.host import program
from runc_wrap.node import installed_programs

SOCKET = Path("/run/crio/crio.sock")


class Crio:
    """See engine_kind.Engine."""

    name = "crio"

    def detect(self, root: Path = ROOT) -> list[Installation]:
        """Return CRI-O if it is installed or configured."""
        binary = program.locate("crio")
        folder = root / str(crio_config.CONFIG.parent).lstrip("/")
        return [at(crio_config.CONFIG, root)] if binary or folder.is_dir() else []

    def check_command(self, found: Installation) -> list[str] | None:
        """Return `crio config`, which validates what it prints."""
        return None if found.binary is None else [str(found.binary), *config_words(found.config)]

    def reload(self, found: Installation, *, loses_default: bool = False) -> Reload:
        """Return a restart: see the module."""
        del found, loses_default
        return "restart"

    def in_force(self, found: Installation) -> dict[str, str] | None:
        """Return the handlers that `crio config` prints."""
        if found.binary is None:
            return None
        printed = program.output(str(found.binary), *config_words(found.config))
        return None if printed is None else handlers(printed)


def at(config: Path, root: Path = ROOT) -> Installation:
    """Return the CRI-O that reads this configuration."""
    binary = program.locate("crio")
    version = installed_programs.version("crio") if binary else None
    unit = unit_of(("crio.service",), root)
    return Installation("crio", config, binary, unit, SOCKET, "", version)


def default_handler(found: Installation) -> str | None:
    """Return the default runtime that `crio config` prints, None if it prints none."""
    told = toml_text.lookup(_printed(found), ["crio", "runtime"]).get("default_runtime")
    return str(told) if told else None


def seccomp_profiles(found: Installation) -> list[Path]:
    """Return the files that are the default of pods, of all or of one handler; [] if none is named.

    A handler's own counts before that of all (since 1.34: pkg/config/config.go, RuntimeHandler).
    """
    runtime = toml_text.lookup(_printed(found), ["crio", "runtime"])
    tables = [runtime, *toml_text.lookup(runtime, ["runtimes"]).values()]
    named = {each.get("seccomp_profile") for each in tables if isinstance(each, dict)}
    return sorted(Path(str(each)) for each in named if each)


def answers_at(found: Installation) -> Path:
    """Return where CRI-O answers: as `crio config` prints it, otherwise at the usual place."""
    told = toml_text.lookup(_printed(found), ["crio", "api"]).get("listen")
    return Path(str(told or found.socket or SOCKET))


def _printed(found: Installation) -> dict[str, Any]:
    """Return the configuration that `crio config` prints, {} if it prints none."""
    if found.binary is None:
        return {}
    printed = program.output(str(found.binary), *config_words(found.config)) or ""
    try:
        return tomllib.loads(printed)
    except ValueError:
        return {}


def config_words(config: Path) -> list[str]:
    """Return the words after `crio` with which it prints what this file and its drop-ins say.

    CRI-O fails if a file that is named does not exist, and reads the usual one unnamed, if there is
    one. Its own packages bring drop-ins only.
    """
    is_unnamed = config == crio_config.CONFIG and not config.exists()
    named = [] if is_unnamed else ["--config", str(config)]
    return [*named, "--config-dir", f"{config}.d", "config"]


def handlers(printed: str) -> dict[str, str] | None:
    """Return {handler: runtime_path} of what `crio config` prints; None if that is not TOML."""
    try:
        document: dict[str, Any] = tomllib.loads(printed)
    except ValueError:
        return None
    runtimes = toml_text.lookup(document, ["crio", "runtime", "runtimes"])
    tables = {name: each for name, each in runtimes.items() if isinstance(each, dict)}
    return {name: str(each.get("runtime_path") or "") for name, each in tables.items()}
