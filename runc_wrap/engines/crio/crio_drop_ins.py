"""CRI-O: a drop-in in crio.conf.d for each handler.

CRI-O reads every file there, of whatever name, in lexical order, and replaces a runtime's table by
a later one whole. A handler inherits nothing by itself; `inherit_default_runtime` would overwrite
runtime_path with the default's, and `platform_runtime_paths` choose another runtime for an image.
So ours repeats the settings of the default runtime's table, but for these. CRI-O passes on all
annotations; `allowed_annotations` is about those that it acts on itself. Sources: cri-o
pkg/config/config.go (UpdateFromPath, RuntimeHandler, ValidateRuntimes).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.engines import drop_in_folder, toml_text
from runc_wrap.engines.handler import refuse_taken

if TYPE_CHECKING:
    from runc_wrap.engines.file_drafts import Tree
    from runc_wrap.engines.handler import Handler
    from runc_wrap.engines.toml_text import Table

CONFIG = Path("/etc/crio/crio.conf")
_RUNTIME = ["crio", "runtime"]
_BUILT_IN = ("crun", "runc")  # the default since 1.31, and the one before
_OF_OCI = ("", "oci")
_NOT_INHERITED = frozenset(
    {"runtime_path", "runtime_type", "runtime_config_path", "runtime_pull_image"}
    | {"platform_runtime_paths", "inherit_default_runtime"}
)


def render(tree: Tree, config: Path, handlers: list[Handler]) -> list[str]:
    """Put `handlers` into the drafts of `tree`. Return warnings."""
    if not handlers:
        return []
    files = drop_in_folder.others(tree, config, handlers)
    runtime: Table = {}
    for _, table in files:  # a runtime's table replaces the one before
        new = toml_text.lookup(table, _RUNTIME)
        runtimes = {**runtime.get("runtimes", {}), **toml_text.lookup(new, ["runtimes"])}
        runtime = {**runtime, **new, "runtimes": runtimes}
    refuse_taken(f"{config} or its drop-ins", handlers, runtime["runtimes"])
    for handler in handlers:
        _render_one(tree, drop_in_folder.path(config, handler), handler, _base(runtime))
    return [each for handler in handlers for each in _overridden(files, config, handler)]


def _base(runtime: Table) -> Table:
    """Return what our handlers repeat of the default runtime's table; {} if that is none of OCI."""
    runtimes = runtime["runtimes"]
    names = (str(runtime.get("default_runtime", "")), *_BUILT_IN)
    found: Table = next(
        (runtimes[name] for name in names if isinstance(runtimes.get(name), dict)), {}
    )
    if found.get("runtime_type", "") not in _OF_OCI:
        return {}
    return {key: value for key, value in found.items() if key not in _NOT_INHERITED}


def _render_one(tree: Tree, path: Path, handler: Handler, base: Table) -> None:
    default = {"default_runtime": handler.name} if handler.default else {}
    body = toml_text.table(_RUNTIME, default) if default else ""
    own: Table = {"runtime_path": handler.path, "runtime_type": "oci"} | base
    where = [*_RUNTIME, "runtimes", handler.name]
    plain = {key: value for key, value in own.items() if not isinstance(value, dict)}
    body += toml_text.table(where, plain)
    for key, value in own.items():
        body += toml_text.table([*where, key], value) if isinstance(value, dict) else ""
    tree.put_whole(path, f"runc-wrap: runtime {handler.name}", body)


def _overridden(files: list[tuple[Path, Table]], config: Path, handler: Handler) -> list[str]:
    """Return a warning if a later file names another default."""
    if not handler.default:
        return []
    mine = drop_in_folder.path(config, handler)
    later = [
        path
        for path, table in files[1:]
        if path > mine and "default_runtime" in toml_text.lookup(table, _RUNTIME)
    ]
    return [f"{path} names another default runtime, after {mine.name}" for path in later[-1:]]
