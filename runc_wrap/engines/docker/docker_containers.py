"""Docker's containers that need a handler's name, also if its daemon does not run."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.engines import client_engine
from runc_wrap.engines.dependent import Dependent, Unknown, object_in
from runc_wrap.host import engine_names, program

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = "/var/lib/docker"  # if its file names none
_SILENT = "the Docker daemon does not answer"


def needing(config: Path, path: Path) -> Iterator[Dependent]:
    """Yield each container with that runtime. Raises Unknown."""
    engine = engine_names.DOCKER
    shown = client_engine.inspected("docker", "HostConfig.Runtime", "State.Status", "Name")
    for runtime, state, name in _in_files(config) if shown is None else shown:
        if runtime == path.name:
            yield Dependent(engine.name, name.removeprefix("/"), state)


def _in_files(config: Path) -> Iterator[tuple[str, str, str]]:
    """Yield what a daemon that does not run would show."""
    root = Path(str(object_in(config, _SILENT).get("data-root", _ROOT))) / "containers"
    if not root.is_dir():
        if program.locate(engine_names.DOCKER.program):
            raise Unknown(f"{_SILENT}, and there is no {root}")
        return
    for directory in sorted(root.iterdir()):
        runtime = object_in(directory / "hostconfig.json", _SILENT).get("Runtime")
        yield str(runtime), "", _name(directory)


def _name(directory: Path) -> str:
    with contextlib.suppress(Unknown):  # it grows with labels and the log of health checks
        return str(object_in(directory / "config.v2.json", _SILENT).get("Name", directory.name))
    return directory.name
