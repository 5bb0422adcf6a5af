"""The files that containerd loads, and what they say together, by its version.

It begins with the main file and takes imports breadth first, a pattern's in lexical order. Without
a main file it loads nothing: that its built-in configuration imports conf.d (since 2.2) counts for
nothing then, nor where the main file does not say so.

    1.x         a later file's table of a plugin replaces the earlier one whole
    2.0 to 2.2  tables are merged; the last `version` from 2 on counts for all of it, without any 3:
                files of version 1, or without a version, are carried over. Only of version 2 the
                old plugin's section is carried over, each key only if the new plugin has none
    2.3 on      tables are merged; each file is carried over to version 4 by itself. No file may
                have a higher version than the main file

Sources: cmd/containerd/server/config/config.go (v1.7.33, v2.0.0, v2.2.4, v2.3.4: LoadConfig,
mergeConfig) and plugins/cri/runtime/plugin.go (v2.3.4: migrateConfig).
"""

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from runc_wrap.engines import engine_files, toml_text
from runc_wrap.engines.handler import EngineError, Facts
from runc_wrap.engines.toml_text import Table

OLD_CRI, NEW_CRI = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"
_MOST = 1000  # files that a configuration imports
_FIRST, _FIRST_CRI = 1, "cri"  # the first version, also of a file that says none
_CARRIED_TO = 3  # the version to which 2.0 to 2.2 carry over such files


@dataclass(frozen=True)
class Loaded:
    """One file, and its content."""

    path: Path
    table: Table

    @property
    def version(self) -> int:
        """Its version; 0 if it says none."""
        found = self.table.get("version", 0)
        return found if isinstance(found, int) else 0


def patterns(path: Path, table: Table) -> list[str]:
    """Return what a file imports, each as an absolute path or pattern."""
    listed = table.get("imports", [])
    own = [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    return [str(path.parent / pattern) for pattern in own]


def load(config: Path, main: Table, ours: Iterable[Path] = ()) -> list[Loaded]:
    """Return the main file and what it imports, in containerd's order, without the files `ours`."""
    left_out = set(ours)
    found = [Loaded(config, main)]
    for each in found:  # which grows meanwhile
        names = [name for p in patterns(each.path, each.table) for name in sorted(glob.glob(p))]  # noqa: PTH207
        known = {one.path for one in found}
        new = (path for path in dict.fromkeys(map(Path, names)) if path not in known)
        wanted = (path for path in new if not {path, path.resolve()} & left_out)
        found += [Loaded(path, engine_files.table(path)) for path in wanted]
        if len(found) > _MOST:
            raise EngineError(f"{config} imports over {_MOST} files; try: correct its imports")
    return found


def check_version(table: Table, where: str, wanted: tuple[int, ...]) -> None:
    """Raise EngineError if the main file has another version than one of `wanted`."""
    version = table.get("version", 1)
    if version in wanted:
        return
    said = "" if "version" in table else " (no `version` line means 1)"
    raise EngineError(
        f"{where}: config version {version!r}{said}, wanted {' or '.join(map(str, wanted))}; try: "
        f"`containerd -c {where} config dump`, which prints it in the installed one's version"
    )


def disabled(file: Loaded) -> str:
    """Return that a file disables the CRI plugin, "" if it does not.

    Raises EngineError for what is no list.
    """
    listed = file.table.get("disabled_plugins", [])
    if not isinstance(listed, list):
        raise EngineError(f"{file.path}: disabled_plugins is no list; try: correct it first")
    found = next((each for each in listed if each in ("cri", OLD_CRI, NEW_CRI)), "")
    said = f"{file.path} disables the CRI plugin ({found}): no pod will find the handler"
    return said if found else ""


def plugin_of(version: int) -> str:
    """Return the CRI plugin's key in a file of this version of the configuration."""
    return OLD_CRI if version == 2 else NEW_CRI  # noqa: PLR2004  # config version 2


def section_path(plugin: str) -> list[str]:
    """Return the path of the table with the handlers and the default one."""
    return ["plugins", plugin, "containerd"]


def of_dump(document: Table) -> dict[str, str]:
    """Return {handler: BinaryName} of the configuration in force, of any version."""
    found: dict[str, str] = {}
    for plugin in (OLD_CRI, NEW_CRI):
        runtimes = toml_text.lookup(document, [*section_path(plugin), "runtimes"])
        for name in runtimes:
            binary = toml_text.lookup(runtimes, [name, "options"]).get("BinaryName")
            found[name] = str(binary or "")
    return found


def section(files: list[Loaded], facts: Facts) -> Table:
    """Return the CRI plugin's `containerd` table in force, of handlers and the default one."""
    if _migrates_each(facts):
        return reduce(toml_text.merged, map(carried_over, map(_renamed, files)))
    together = _together(files)
    if _version_of_all(files) > 2:  # noqa: PLR2004  # config version 2
        return toml_text.lookup(together, section_path(NEW_CRI))
    return carried_over(together)


def _migrates_each(facts: Facts) -> bool:
    """Tell whether this containerd carries over each file by itself (2.3 on)."""
    return (facts["major"], facts.get("minor", 3)) >= (2, 3)


def _version_of_all(files: list[Loaded]) -> int:
    """Return the version that counts for all files in 2.0 to 2.2: the last one from 2 on."""
    return [_CARRIED_TO, *(each.version for each in files if each.version > _FIRST)][-1]


def _together(files: list[Loaded]) -> Table:
    return reduce(toml_text.merged, map(_renamed, files))


def _renamed(each: Loaded) -> Table:
    """Return a file's content; version 1's name of the plugin becomes version 2's."""
    plugins = each.table.get("plugins")
    if each.version > _FIRST or not isinstance(plugins, dict) or _FIRST_CRI not in plugins:
        return each.table
    return {**each.table, "plugins": {OLD_CRI: plugins[_FIRST_CRI], **plugins}}


def carried_over(document: Table) -> Table:
    """Return the section as containerd carries it over: the new plugin's keys win, whole."""
    old, new = (toml_text.lookup(document, section_path(plugin)) for plugin in (OLD_CRI, NEW_CRI))
    return {**old, **new}


def dialect(files: list[Loaded], facts: Facts) -> tuple[int, str]:
    """Return the version and the plugin's key with which a drop-in adds to these files.

    Version 0: it must not say one, which would be higher than the main file's. In 2.0 to 2.2 it
    must not change the one that counts for all, and a table of handlers under the new key would
    hide one under the old key.
    """
    if _migrates_each(facts):
        version = files[0].version if files[0].version > _FIRST else 0
        return version, plugin_of(version)
    version = _version_of_all(files)
    together = _together(files)
    new = toml_text.lookup(together, [*section_path(NEW_CRI), "runtimes"])
    return version, NEW_CRI if version > 2 or new else OLD_CRI  # noqa: PLR2004  # config version 2
