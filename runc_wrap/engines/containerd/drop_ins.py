"""containerd 2: a drop-in for each handler, which the main file must import.

Where it imports no directory of drop-ins, ours alone are imported, by a pattern of their names:
what else lies there has been unread, may be of a version with which containerd does not start, and
stays unread. It is a pattern, as containerd does not start if an imported file is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.engines import marked_text, toml_text
from runc_wrap.engines.containerd import handler_tables, loaded_files, main_file
from runc_wrap.engines.handler import refuse_taken

if TYPE_CHECKING:
    from runc_wrap.engines.file_drafts import Tree
    from runc_wrap.engines.handler import Handler

HEAD = "50-runc-wrap-"
_FOLDERS = ("conf.d", "config-v3.toml.d", "config.toml.d")
_NEW_MAIN = """\
# Created by `runc-wrapctl engine add`. It imports runc-wrap's own drop-ins only: without this file
# containerd read nothing else in conf.d either.
version = 3
imports = [{pattern}]
"""


def drop_in(folder: Path, handler: Handler) -> Path:
    """Return the drop-in file of one handler."""
    return folder / f"{HEAD}{handler.name}.toml"


def folder_of(config: Path, files: list[loaded_files.Loaded]) -> Path:
    """Return the directory of drop-ins that the main file imports, conf.d beside it if none.

    k3s and RKE2 import the other ones.
    """
    imported = loaded_files.patterns(config, files[0].table)
    folders = [config.parent / name for name in _FOLDERS]
    found = (each for each in folders for p in imported if (each / f"{HEAD}x.toml").match(p))
    return next(found, folders[0])


def render(tree: Tree, config: Path, handlers: list[Handler], facts: dict[str, Any]) -> list[str]:
    """Put the drop-ins, and the import if it is missing, into the drafts of `tree`."""
    text, where = tree.text(config), str(config)
    if not text.strip():
        pattern = config.parent / "conf.d" / f"{HEAD}*.toml"
        text = _NEW_MAIN.format(pattern=toml_text.value(str(pattern)))
        tree.put(config, text)
    main = toml_text.parse(text, where)
    main_file.check_version(main, where, wanted=(1, 2, 3, 4))
    files = loaded_files.load(config, main, map(Path, tree.saved))
    folder = folder_of(config, files)
    paths = [drop_in(folder, handler) for handler in handlers]
    files = [each for each in files if each.path not in paths]
    imported = loaded_files.patterns(config, main)
    if not any(paths[0].match(pattern) for pattern in imported):
        tree.put(config, marked_text.with_import(text, str(folder / f"{HEAD}*.toml"), where))
    return write(tree, folder, handlers, files, facts)


def write(
    tree: Tree,
    folder: Path,
    handlers: list[Handler],
    files: list[loaded_files.Loaded],
    facts: dict[str, Any],
) -> list[str]:
    """Put one drop-in for each handler into `folder`, in the dialect of the files before them."""
    version, plugin = loaded_files.dialect(files, facts)
    section = loaded_files.section(files, facts)
    new = [each for each in handlers if not tree.has_recorded(handler_tables.title(each))]
    refuse_taken(str(files[0].path), new, toml_text.lookup(section, ["runtimes"]))
    for handler in handlers:
        said = f"version = {version}\n\n" if version else ""
        body = said + handler_tables.tables(handler, section, plugin)
        if handler.default:
            body += handler_tables.default_table(handler, plugin)
        tree.put_whole(drop_in(folder, handler), handler_tables.title(handler), body)
    return []
