"""The engines by their names: whoever adds one enters its class here."""

from pathlib import Path

from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.crio.crio_engine import Crio
from runc_wrap.engines.docker.docker_engine import Docker
from runc_wrap.engines.engine_class import Engine
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.podman.podman_engine import Buildah, Podman

ENGINES: dict[str, type[Engine]] = {
    each.names.name: each for each in (Containerd, Crio, Podman, Docker)
}
_BY_ANOTHERS_FILES: dict[str, type[Engine]] = {Buildah.names.name: Buildah}


def kind(name: str) -> type[Engine]:
    """Return the class of any engine of engine_names, registered or not."""
    return ENGINES[name] if name in ENGINES else _BY_ANOTHERS_FILES[name]


def at(name: str, config: Path) -> Engine:
    """Return the engine that reads this configuration, installed or not."""
    return ENGINES[name].at(config)


def installed(name: str, config: Path) -> Engine:
    """Return the same. Raises EngineError if it is not installed."""
    if (found := at(name, config)).binary is None:
        raise EngineError(f"{name} is not installed; try: `engine add` without --restart")
    return found


def detected() -> list[Engine]:
    """Return every engine of this node."""
    return [each for kind in ENGINES.values() for each in kind.detect()]
