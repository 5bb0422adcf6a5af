"""Whether the engines know the handlers that are meant for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.doctor import commands
from runc_wrap.doctor.check_finding import Finding
from runc_wrap.engines import registry
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.handler import DEFAULT_NAME, EngineError, Handler
from runc_wrap.engines.registration import registration_state
from runc_wrap.host import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runc_wrap.engines.registration.registration_state import Registered
    from runc_wrap.node.paths import Places

NAME = "handlers"


def find(places: Places) -> Iterator[Finding]:
    """Find handlers without a link to the launcher, and those that their engine does not show."""
    try:
        states = registration_state.states(places.engines)
    except (EngineError, OSError) as error:
        command = commands.ctl(places, "engine", "list")
        yield Finding(NAME, "warning", str(error), "restore that file from a backup", command)
        return
    for state in states:
        for handler in state.handlers:
            yield from _link(places, handler)
            yield from _of_engine(places, state, handler)


def _link(places: Places, handler: Handler) -> Iterator[Finding]:
    """Find a handler whose link does not lead to the launcher, which is another check's."""
    path = Path(handler.path)
    if handler.name == DEFAULT_NAME or _is_launcher(places, path):
        return
    is_there = path.is_symlink() or path.exists()
    wrong = f"leads to {path.resolve()}, without runc-wrap" if is_there else "does not exist"
    is_ours = path.parent == places.wrapper.parent and (path.is_symlink() or not is_there)
    yield Finding(
        NAME,
        "error",
        f"{path}, which an engine calls as its handler {handler.name}, {wrong}",
        "make the link again",
        commands.line("ln", "-sfn", DEFAULT_NAME, path),
        _linked(path) if is_ours else None,
    )


def _is_launcher(places: Places, path: Path) -> bool:
    """Tell whether a link leads to the launcher, or would if that were there."""
    return path.is_symlink() and path.resolve() == places.wrapper.resolve()


def _linked(path: Path) -> Callable[[], None]:
    return lambda: files.replace_link(path, DEFAULT_NAME)


def _of_engine(places: Places, state: Registered, handler: Handler) -> Iterator[Finding]:
    engine, config = state.engine, state.config
    found = registry.at(engine, config)
    if found.binary is None:
        return
    shows = found.shows(handler)
    if shows is False:
        words = ["engine", "add", engine, "--handler", handler.name, "--config", str(config)]
        words += ["--default"] if handler.default else []
        restart = found.reload_command()
        yield Finding(
            NAME,
            "warning",
            f"{engine} does not show the handler {handler.name}, which is registered in {config}",
            f"add it again, then run {restart}",
            f"{commands.ctl(places, *words)} && {restart}",
        )
    elif shows is None and isinstance(found, Containerd) and config.exists():
        yield _unreadable(config)


def _unreadable(config: Path) -> Finding:
    return Finding(
        NAME,
        "error",
        f"containerd cannot read {config} or a file that it imports: it would not start again",
        "correct what the command names",
        commands.line(Containerd.names.program, "-c", config, "config", "dump"),
    )
