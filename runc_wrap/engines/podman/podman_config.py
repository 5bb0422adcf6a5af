"""Podman: a drop-in in containers.conf.d for each handler.

`runtime_supports_json` and `runtime_supports_nocgroup` replace earlier lists (`{append=true}` is
newer than Podman 4.x), so each drop-in repeats the list in force and adds our handlers. Podman
reads the key `runtime_supports_nocgroup` and ignores the plural of its manual (tried with 5.4:
`podman create --cgroups=disabled` accepts the runtime only with the former). Source:
containers/common pkg/config (config.go, default.go).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.engines import engine_files, toml_text
from runc_wrap.engines.handler import EngineError, Handler

if TYPE_CHECKING:
    from runc_wrap.engines.file_tree import Tree
    from runc_wrap.engines.toml_text import Table

CONFIG = Path("/etc/containers/containers.conf")
VENDOR = Path("/usr/share/containers/containers.conf")
BUILT_IN = {
    "runtime_supports_json": ["crun", "runc", "kata", "runsc", "youki", "krun", "ocijail"],
    "runtime_supports_nocgroup": ["crun", "krun"],
}


def render(tree: Tree, config: Path, handlers: list[Handler], facts: dict[str, Any]) -> None:
    """Put `handlers` into the drafts of `tree`. Facts: {crun: whether it is the real runtime}."""
    ours = {drop_in(config, handler) for handler in handlers}
    ours |= {Path(path) for path in tree.saved}
    engines = _in_force(config, ours) if handlers else []
    for handler in handlers:
        _refuse_taken(engines, handler, config)
        _render_one(tree, drop_in(config, handler), handler, _lists(engines, handlers, facts))


def drop_in(config: Path, handler: Handler) -> Path:
    """Return the drop-in file of one handler."""
    return config.parent / f"{config.name}.d" / f"50-runc-wrap-{handler.name}.conf"


def handlers_in(config: Path) -> list[str]:
    """Return the names of the handlers that have a drop-in of ours."""
    folder, head = config.parent / f"{config.name}.d", "50-runc-wrap-"
    return [path.stem.removeprefix(head) for path in sorted(folder.glob(f"{head}*.conf"))]


def _render_one(tree: Tree, path: Path, handler: Handler, lists: Table) -> None:
    engine = ({"runtime": handler.name} if handler.is_default else {}) | lists
    body = toml_text.table(["engine"], engine)
    body += toml_text.table(["engine", "runtimes"], {handler.name: [handler.path]})
    tree.put_whole(path, f"runc-wrap: runtime {handler.name}", body)


def _lists(engines: list[Table], handlers: list[Handler], facts: dict[str, Any]) -> Table:
    names = ["runtime_supports_json", *(["runtime_supports_nocgroup"] if facts["crun"] else [])]
    ours = [handler.name for handler in handlers]
    return {name: _with(_list(engines, name), ours) for name in names}


def _with(listed: list[str], ours: list[str]) -> list[str]:
    return [*listed, *(name for name in ours if name not in listed)]


def _list(engines: list[Table], name: str) -> list[str]:
    """Return the list in force: each file's list replaces the one before, or is appended to it.

    `{append = true}` also applies to later files, until one has `{append = false}`.
    """
    result, appending = BUILT_IN[name], False
    for found in (engine.get(name) for engine in engines):
        if isinstance(found, list):
            words = [each for each in found if isinstance(each, str)]
            flags = [one["append"] for one in found if isinstance(one, dict) and "append" in one]
            appending = bool(flags[-1]) if flags else appending
            result = _with(result, words) if appending else words
    return result


def _in_force(config: Path, ours: set[Path]) -> list[Table]:
    folder = config.parent / f"{config.name}.d"
    paths = [*([VENDOR] if config == CONFIG else []), config, *sorted(folder.glob("*.conf"))]
    others = [path for path in paths if path not in ours and path.resolve() not in ours]
    return [
        toml_text.lookup(toml_text.parse(engine_files.read(p) or "", str(p)), ["engine"])
        for p in others
    ]


def _refuse_taken(engines: list[Table], handler: Handler, config: Path) -> None:
    if any(handler.name in toml_text.lookup(engine, ["runtimes"]) for engine in engines):
        raise EngineError(
            f'{config} or its drop-ins: a runtime "{handler.name}" that is not ours',
            "an unused name",
            "another --handler, or remove that runtime first",
        )
