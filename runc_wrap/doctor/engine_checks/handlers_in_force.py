"""Whether the engines know the handlers that are meant for them.

containerd 2 reads its conf.d only if the configuration imports it. Since 2.2 its built-in
configuration does, but that counts for nothing where there is no config.toml, or one that does not
say so (containerd cmd/containerd/server/config/config.go, v2.2.7 to v2.4.0-beta.0): a drop-in there
is silently ignored, also one that others wrote, and also after others wrote config.toml again.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.doctor import remedies
from runc_wrap.doctor.remedies import Finding
from runc_wrap.engines import engine_registry, toml_text
from runc_wrap.engines.containerd import loaded_files
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.handler import DEFAULT_NAME, EngineError, Handler
from runc_wrap.engines.registration import registration_state
from runc_wrap.host import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.engines.registration.registration_state import Registered
    from runc_wrap.node.paths import Places

NAME = "handlers"
_LARGEST = 1024 * 1024  # bytes of a drop-in
_MOST = 100  # drop-ins


def find(places: Places) -> Iterator[Finding]:
    """Find handlers without a link to the launcher, and those that their engine does not show."""
    try:
        states = registration_state.states(places.engines)
    except (EngineError, OSError) as error:
        yield Finding(NAME, "warning", str(error), "restore that file from a backup")
        return
    for state in states:
        for handler in state.handlers:
            yield from _link(places, handler)
            yield from _of_engine(places, state, handler)
    yield from _ignored(places, states)


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
        remedies.line("ln", "-sfn", DEFAULT_NAME, path),
        partial(files.replace_link, path, DEFAULT_NAME) if is_ours else None,
    )


def _is_launcher(places: Places, path: Path) -> bool:
    """Tell whether a link leads to the launcher, or would if that were there."""
    return path.is_symlink() and path.resolve() == places.wrapper.resolve()


def _of_engine(places: Places, state: Registered, handler: Handler) -> Iterator[Finding]:
    engine, config = state.engine, state.config
    found = engine_registry.at(engine, config)
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
            f"{remedies.ctl(places, *words)} && {restart}",
        )
    elif shows is None and isinstance(found, Containerd) and config.exists():
        yield _unreadable(config)


def _unreadable(config: Path) -> Finding:
    return Finding(
        NAME,
        "error",
        f"containerd cannot read {config} or a file that it imports: it would not start again",
        "correct what the command names",
        remedies.line(Containerd.names.program, "-c", config, "config", "dump"),
    )


def _ignored(places: Places, states: list[Registered]) -> Iterator[Finding]:
    """Find drop-ins of containerd that name our launcher, and that no configuration imports."""
    own = {(each.config, name) for each in states for name in each.names}
    configs = [each.config for each in states if each.engine == Containerd.names.name]
    for config in dict.fromkeys([Containerd.usual, *configs]):
        drop_ins = _drop_ins(places, config)
        known = Containerd.at(config).in_force() if drop_ins else None
        for name, path in drop_ins.items():
            if known is not None and name not in known and (config, name) not in own:
                pattern = config.parent / "conf.d" / "*.toml"
                yield Finding(
                    NAME,
                    "warning",
                    f"{path} defines the handler {name}, but {config} does not import it",
                    f'write imports = ["{pattern}"] at its top, and restart containerd',
                    remedies.edit(config, Containerd.at(config).reload_command()),
                )


def _drop_ins(places: Places, config: Path) -> dict[str, Path]:
    """Return {handler: file} of those in conf.d that call our launcher."""
    found: dict[str, Path] = {}
    for path in sorted((config.parent / "conf.d").glob("*.toml"))[:_MOST]:
        try:
            text = files.read(path, _LARGEST, follows=True).decode()
            document = toml_text.parse(text, str(path))
        except (OSError, ValueError, EngineError):
            continue
        for name, binary in loaded_files.of_dump(document).items():
            if binary and Path(binary).resolve() == places.wrapper.resolve():
                found[name] = path
    return found
