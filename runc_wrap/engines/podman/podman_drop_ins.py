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

from runc_wrap.engines import drop_in_folder, engine_files, toml_text
from runc_wrap.engines.handler import refuse_taken

if TYPE_CHECKING:
    from runc_wrap.engines.file_drafts import Tree
    from runc_wrap.engines.handler import Handler
    from runc_wrap.engines.toml_text import Table

CONFIG = Path("/etc/containers/containers.conf")
VENDOR = Path("/usr/share/containers/containers.conf")
BUILT_IN = {
    "runtime_supports_json": ["crun", "runc", "kata", "runsc", "youki", "krun", "ocijail"],
    "runtime_supports_nocgroup": ["crun", "krun"],
}


def render(tree: Tree, config: Path, handlers: list[Handler], facts: dict[str, Any]) -> None:
    """Put `handlers` into the drafts of `tree`. Facts: {crun: whether it is the real runtime}."""
    if not handlers:
        return
    files = drop_in_folder.others(tree, config, handlers, "*.conf")
    if config == CONFIG:
        files.insert(0, (VENDOR, toml_text.parse(engine_files.read(VENDOR) or "", str(VENDOR))))
    engines = [toml_text.lookup(table, ["engine"]) for _, table in files]
    runtimes = (toml_text.lookup(engine, ["runtimes"]) for engine in engines)
    refuse_taken(f"{config} or its drop-ins", handlers, *runtimes)
    for handler in handlers:
        path = drop_in_folder.path(config, handler)
        _render_one(tree, path, handler, _lists(engines, handlers, facts))


def _render_one(tree: Tree, path: Path, handler: Handler, lists: Table) -> None:
    engine = ({"runtime": handler.name} if handler.default else {}) | lists
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
