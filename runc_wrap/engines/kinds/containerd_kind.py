"""containerd: its own packages' and the one of each distribution.

Its loader is behind `config dump` too, so that a dump that fails is a containerd that does not
start. It has no reload: SIGHUP ends it (cmd/containerd/command/main_unix.go).
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from runc_wrap.engines import containerd_config, toml_text
from runc_wrap.engines.containerd import distributions
from runc_wrap.engines.kinds.engine_kind import ROOT, Installation, Reload, unit_of
from runc_wrap.host import program
from runc_wrap.node import installed_programs

SOCKET = Path("/run/containerd/containerd.sock")
STATE = Path("/run/containerd")
_GRPC_PLUGIN = "io.containerd.server.v1.grpc"  # has the address from configuration version 4 on


class Containerd:
    """See engine_kind.Engine."""

    name = "containerd"

    def detect(self, root: Path = ROOT) -> list[Installation]:
        """Return containerd of its own packages, if installed, and those of distributions."""
        own, usual = program.locate("containerd"), containerd_config.CONFIG
        found = [_own(own, root, usual)] if own or (root / _below(usual)).exists() else []
        brought = (each for each in distributions.ALL if distributions.installed(each, root))
        return [*found, *(_brought(each, root) for each in brought)]

    def check_command(self, found: Installation) -> list[str] | None:
        """Return `containerd config dump`."""
        return None if found.binary is None else [str(found.binary), *_dump_words(found)]

    def reload(self, found: Installation, *, loses_default: bool = False) -> Reload:
        """Return a restart, but for k0s, which watches its directory of drop-ins."""
        del loses_default
        return "none" if found.flavour == "k0s" else "restart"

    def in_force(self, found: Installation) -> dict[str, str] | None:
        """Return the handlers of the dump."""
        document = dump(found)
        return None if document is None else handlers(document)


def _below(path: Path) -> str:
    return str(path).lstrip("/")


def _own(binary: Path | None, root: Path, config: Path) -> Installation:
    return Installation(
        "containerd",
        config,
        binary,
        unit_of(("containerd.service",), root),
        SOCKET,
        "",
        installed_programs.version("containerd") if binary else None,
    )


def _brought(
    each: distributions.Distribution, root: Path, config: Path | None = None
) -> Installation:
    binary = program.locate(str(root / distributions.binary(each, config).lstrip("/")))
    return Installation(
        "containerd",
        config or Path(each.config),
        binary,
        unit_of(each.units, root),
        Path(each.socket),
        each.name,
        installed_programs.version_of(binary) if binary else None,
    )


def at(config: Path) -> Installation:
    """Return the containerd that reads this configuration."""
    distribution = distributions.of_config(config)
    if distribution is not None:
        return _brought(distribution, ROOT, config)
    return _own(program.locate("containerd"), ROOT, config)


def _dump_words(found: Installation) -> list[str]:
    """Return the words that print the configuration in force.

    Without a file at the usual place that is `config default`: `dump` then fails (1.7), but the
    daemon starts (containerd:cmd/containerd/command/main.go).
    """
    by = distributions.named(found.flavour)
    config = Path(by.in_force) if by and str(found.config) == by.config else found.config
    if config == containerd_config.CONFIG and not config.exists():
        return ["config", "default"]
    return ["-c", str(config), "config", "dump"]


def dump(found: Installation) -> dict[str, Any] | None:
    """Return the configuration in force, including imports; None if it prints none."""
    if found.binary is None:
        return None
    printed = program.output(str(found.binary), *_dump_words(found))
    try:
        return None if printed is None else tomllib.loads(printed)
    except ValueError:
        return None


def answers_at(found: Installation, document: dict[str, Any] | None) -> Path:
    """Return where a containerd answers: as its dump says, otherwise at the usual place.

    A dump does not show what a flag says, but the usual place instead.
    """
    by = distributions.named(found.flavour)
    if by and by.state:
        return Path(by.socket)
    tables = (["grpc"], ["plugins", _GRPC_PLUGIN])
    told = (toml_text.lookup(document or {}, table).get("address") for table in tables)
    return Path(str(next(filter(None, told), found.socket or SOCKET)))


def state_of(found: Installation, document: dict[str, Any] | None) -> Path:
    """Return the directory of its running containers: a flag's, as its dump says, or the usual."""
    by = distributions.named(found.flavour)
    told = by.state if by and by.state else (document or {}).get("state")
    return Path(str(told or STATE))


def handlers(document: dict[str, Any]) -> dict[str, str]:
    """Return {handler: BinaryName} of a dump of any version."""
    found: dict[str, str] = {}
    for plugin in (containerd_config.OLD_CRI, containerd_config.NEW_CRI):
        runtimes = toml_text.lookup(document, ["plugins", plugin, "containerd", "runtimes"])
        for name, each in runtimes.items():
            options = each.get("options") if isinstance(each, dict) else None
            binary = options.get("BinaryName") if isinstance(options, dict) else None
            found[name] = str(binary or "")
    return found
