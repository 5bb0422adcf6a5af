"""A handler where a distribution generates containerd's configuration: see distributions.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.engines import engine_files, marked_text, toml_text
from runc_wrap.engines.containerd import (
    distributions,
    drop_ins,
    handler_tables,
    loaded_files,
    main_file,
)
from runc_wrap.engines.containerd.handler_tables import NEW_CRI, OLD_CRI
from runc_wrap.engines.handler import EngineError, Handler, refuse_taken

if TYPE_CHECKING:
    from runc_wrap.engines.containerd.distributions import Distribution
    from runc_wrap.engines.file_drafts import Tree

MANAGED = "# k0s_managed=true"
_BASE = '{{ template "base" . }}\n'
_TEMPLATES = {2: "config-v3.toml.tmpl", 1: "config.toml.tmpl"}  # by containerd's generation


def render(
    tree: Tree, config: Path, handlers: list[Handler], facts: dict[str, Any], by: Distribution
) -> list[str]:
    """Put `handlers` where distribution `by` reads them. Raises EngineError. Return warnings."""
    if by.name == "microk8s":
        if not tree.text(config):
            raise EngineError(f"{config} does not exist", "MicroK8s' template", "install MicroK8s")
        return main_file.render(tree, config, handlers, (2, 3, 4))
    main = toml_text.parse(tree.text(config), str(config))
    files = loaded_files.load(config, main, map(Path, tree.saved))
    if by.name == "k0s":
        return _k0s(tree, config, handlers, facts, files)
    folder = drop_ins.folder_of(config, files)
    if facts["major"] > 1 and folder != config.parent / "conf.d":
        return drop_ins.write(tree, folder, handlers, files, facts)
    return _template(tree, config, handlers, facts, by.name)


def waits_for_start(config: Path) -> bool:
    """Tell whether a handler shows only after its distribution has generated `config` again."""
    by = distributions.of_config(config)
    if by is None:
        return False
    main = toml_text.parse(engine_files.read(config) or "", str(config))
    if by.name == "k0s":  # of containerd 1 it merges them into a file of its own, and imports that
        drop_in = config.parent / "containerd.d" / f"{drop_ins.HEAD}x.toml"
        return not any(drop_in.match(each) for each in loaded_files.patterns(config, main))
    found = [loaded_files.Loaded(config, main)]
    return by.name == "microk8s" or drop_ins.folder_of(config, found).name == "conf.d"


def _k0s(
    tree: Tree,
    config: Path,
    handlers: list[Handler],
    facts: dict[str, Any],
    files: list[loaded_files.Loaded],
) -> list[str]:
    """k0s merges drop-ins for 1.x itself, and from 1.36 on refuses any but of version 3."""
    if not tree.text(config).lstrip("\n").startswith(MANAGED):  # before 1.30, in line 2
        raise EngineError(
            f"{config} is not k0s' own any more: its first line is not {MANAGED!r}",
            f"drop-ins in {config.parent}/containerd.d to count",
            "remove that file and restart k0s, or add the handler to it by hand",
        )
    version = 2 if facts["major"] == 1 else 3
    folder = config.parent / "containerd.d"
    main = loaded_files.Loaded(config, {**files[0].table, "version": version})
    mine = {drop_ins.drop_in(folder, handler) for handler in handlers}
    others = [each for each in files[1:] if each.path not in mine]
    return drop_ins.write(tree, folder, handlers, [main, *others], facts)


def _template(
    tree: Tree, config: Path, handlers: list[Handler], facts: dict[str, Any], name: str
) -> list[str]:
    """Append to the template, which is no TOML; a default there would define a table twice."""
    if any(handler.default for handler in handlers):
        raise EngineError(
            f"this {name} imports no drop-ins, and its template cannot name a default",
            "a newer release, or its own setting",
            f"omit --default; `default-runtime: NAME` in /etc/rancher/{name}/config.yaml says it",
        )
    path = _template_path(tree, config, facts)
    text, plugin = tree.text(path), NEW_CRI if "-v3" in path.name else OLD_CRI
    generated = toml_text.parse(tree.text(config), str(config))
    section = loaded_files.carried_over(generated)
    new = [each for each in handlers if not tree.has_recorded(handler_tables.title(each))]
    refuse_taken(str(path), new, toml_text.lookup(section, ["runtimes"]))
    taken = {each.name for each in handlers if f".runtimes.{each.name}]" in text}  # no TOML
    refuse_taken(str(path), handlers, taken)
    text = text if text.strip() else _BASE
    for handler in handlers:
        body = handler_tables.tables(handler, section, plugin)
        text = marked_text.appended(text, handler_tables.title(handler), body)
    tree.put(path, text)
    return []


def _template_path(tree: Tree, config: Path, facts: dict[str, Any]) -> Path:
    """Return the template that exists, the newer one first, as k3s looks for them."""
    paths = [config.parent / name for name in _TEMPLATES.values()]
    found = [path for path in paths if tree.text(path)]
    return found[0] if found else config.parent / _TEMPLATES[facts["major"]]
