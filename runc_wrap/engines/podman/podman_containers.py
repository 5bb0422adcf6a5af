"""The containers that Podman calls us for: root's by what it shows, users' by what is theirs.

Podman stores with a container the runtime that it was started with: a name of its configuration, or
a path that `--runtime` named (5.4.2: `podman inspect` shows it as OCIRuntime).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.engines import client_engine, engine_files, toml_text
from runc_wrap.engines.dependent_container import Dependent, Unknown, leads_to
from runc_wrap.engines.handler import EngineError
from runc_wrap.host import engine_names, program
from runc_wrap.node.container_state import container_processes, users_containers

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = engine_names.PODMAN.name
_ROOTS = (0,)
_OF_PODMAN = ("db.sql", "libpod")  # in the storage, once root has used Podman


def by_name(path: Path) -> Iterator[Dependent]:
    """Yield root's containers that need a handler's name. Raises Unknown."""
    for runtime, state, name, _ in _shown():
        if runtime == path.name:
            yield Dependent(_NAME, name, state)


def by_path(path: Path) -> Iterator[tuple[str, Dependent]]:
    """Yield (id, container) of root's for which this path is called. Raises Unknown."""
    for runtime, state, name, id_ in _shown():
        if runtime.startswith("/") and leads_to(runtime, path):
            yield id_, Dependent(_NAME, name, state)


def _shown() -> Iterator[list[str]]:
    """Yield runtime, state, name and id of each container of root's Podman. Raises Unknown.

    Podman would make its storage when it is asked, so it is not where it has none.
    """
    if program.locate("podman") is None or not _has_podman_storage():
        return
    columns = ("OCIRuntime", "State.Status", "Name", "Id")
    rows, is_all = client_engine.inspected("podman", *columns)
    yield from rows
    if not is_all:
        raise Unknown("`podman ps --all` or `podman inspect` fails")


def _has_podman_storage() -> bool:
    try:
        place = storage()
    except (EngineError, OSError):  # Podman itself says what is wrong
        return True
    return any((place / name).exists() for name in _OF_PODMAN)


def of_users(handler: str) -> Iterator[Dependent]:
    """Yield what users started by Podman and their runtimes have not deleted.

    A user writes the state and the ledger; only a process of that user shows that it is one.
    """
    for user in users_containers.read(_ROOTS):
        for container, record in user.found:
            is_named = record is not None and record.handler == handler
            if is_named and container_processes.is_alive(container):
                yield Dependent(f"podman of uid {user.uid}", container.id, container.state)


FILES = (Path("/etc/containers/storage.conf"), Path("/usr/share/containers/storage.conf"))
_STORAGE = "/var/lib/containers/storage"


def storage() -> Path:
    """Return the storage, which need not exist. Raises EngineError and OSError."""
    texts = ((path, engine_files.read(path)) for path in FILES)
    path, text = next((one for one in texts if one[1] is not None), (FILES[0], ""))
    table = toml_text.lookup(toml_text.parse(text or "", str(path)), ["storage"])
    return Path(str(table.get("graphroot") or _STORAGE))
