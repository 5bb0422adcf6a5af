"""containerd's main file: its version, and the handlers' tables in 1.x and MicroK8s' template.

In 1.x an imported file with the CRI plugin's key replaces the whole section. If a file defines any
handler there, the built-in `runc` no longer exists (shown by `containerd config dump` of 1.7), so
our first one also adds `runc` if the owner does not define it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.engines import marked_text, toml_text
from runc_wrap.engines.containerd import handler_tables, loaded_files
from runc_wrap.engines.containerd.handler_tables import NEW_CRI, OLD_CRI, RUNTIME_TYPE
from runc_wrap.engines.handler import EngineError, Handler, refuse_taken

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.engines.file_drafts import Tree
    from runc_wrap.engines.toml_text import Table

_NEW_MAIN = "# Created by `runc-wrapctl engine add`\nversion = 2\n"


def render(
    tree: Tree, config: Path, handlers: list[Handler], versions: tuple[int, ...]
) -> list[str]:
    """Put `handlers` into the draft of a main file of one of these versions. Return warnings."""
    where = str(config)
    text = tree.text(config) if tree.text(config).strip() else _NEW_MAIN
    document = toml_text.parse(text, where)
    check_version(document, where, wanted=versions)
    plugin = handler_tables.plugin_of(document["version"])
    if plugin == OLD_CRI:
        _refuse_imported(config, document)
    section = toml_text.lookup(document, handler_tables.section_path(plugin))
    refuse_taken(where, handlers, toml_text.lookup(section, ["runtimes"]))
    path = handler_tables.section_path(plugin)
    bodies = {handler_tables.title(each): handler_tables.tables(each, section, plugin)
              for each in handlers}  # fmt: skip
    if not section.get("runtimes"):
        runc = toml_text.table([*path, "runtimes", "runc"], {"runtime_type": RUNTIME_TYPE})
        bodies = {"runc-wrap: runc as containerd has it built in": runc, **bodies}
    text = marked_text.with_tables(text, bodies, where)
    for handler in (each for each in handlers if each.default):
        text = marked_text.with_value(text, path, "default_runtime_name", handler.name, where)
    tree.put(config, text)
    return []


def _refuse_imported(config: Path, document: Table) -> None:
    """Refuse, for 1.x, an imported file with the CRI plugin's key: it would replace our section."""
    for each in reversed(loaded_files.load(config, document)[1:]):
        if {OLD_CRI, "cri"} & set(toml_text.lookup(each.table, ["plugins"])):
            raise EngineError(
                f"{config} imports {each.path}, whose CRI section replaces {config.name}'s",
                "the CRI section in only one file",
                f"--config {each.path}, or move its section into {config} and run this again",
            )


def check_version(table: Table, where: str, wanted: tuple[int, ...]) -> None:
    """Raise EngineError if the main file has another version than one of `wanted`."""
    version = table.get("version", 1)
    if version in wanted:
        return
    raise EngineError(
        f"{where}: config version {version!r}"
        + ("" if "version" in table else " (no `version` line means 1)"),
        f"version {' or '.join(map(str, wanted))}",
        f"`containerd -c {where} config dump` prints it in the installed containerd's version",
    )


def disabled(table: Table, where: str) -> list[str]:
    """Return a sentence for each word by which a file disables the CRI plugin.

    Raises EngineError for what is no list.
    """
    listed = table.get("disabled_plugins", [])
    if not isinstance(listed, list):
        raise EngineError(
            f"{where}: disabled_plugins is no list", "a list of plugins", "correct the file first"
        )
    found = [each for each in listed if each in ("cri", OLD_CRI, NEW_CRI)]
    return [
        f"{where} disables the CRI plugin ({each}): no pod will find the handler" for each in found
    ]
