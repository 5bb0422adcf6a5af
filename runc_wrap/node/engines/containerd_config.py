"""containerd: the CRI plugin's runtime handlers.

1.x (config version 2): in the main file itself, since an imported file with the CRI plugin's key
replaces the whole section. If a file defines any handler, the built-in `runc` no longer exists
(shown by `containerd config dump` of 1.7), so our first one also adds `runc` if the owner does not
define it. 2.x: a drop-in, merged key by key, at the main file's version; the main file must import
it (containerd 2.2's default import of conf.d does not apply to a hand-written file). Built-in
handlers stay there. Sources: containerd cmd/containerd/server/config/config.go and
internal/cri/config; go-toml's handling of maps.
"""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.node.engines import engine_files, toml_text
from runc_wrap.node.engines.handler import ANNOTATIONS, EngineError, Handler

if TYPE_CHECKING:
    from runc_wrap.node.engines.file_tree import Tree
    from runc_wrap.node.engines.toml_text import Table

CONFIG = Path("/etc/containerd/config.toml")
RUNTIME_TYPE = "io.containerd.runc.v2"
OLD_CRI, NEW_CRI = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"
GENERATED = {
    "k3s": "/var/lib/rancher/k3s/agent/etc/containerd",
    "rke2": "/var/lib/rancher/rke2/agent/etc/containerd",
    "k0s": "/etc/k0s",
}
_NOT_INHERITED = frozenset(
    {"runtime_type", "runtime_path", "runtime_engine", "runtime_root", "options", "pod_annotations"}
)


def reload_command(*, loses_default: bool = False) -> str:
    """Return the command that makes containerd read its configuration; containers keep running."""
    del loses_default
    return "systemctl restart containerd"


def render(tree: Tree, config: Path, handlers: list[Handler], facts: dict[str, Any]) -> list[str]:
    """Put `handlers` into the drafts of `tree`. Facts: {major: 1 | 2}. Return warnings."""
    if not handlers:
        return []
    _refuse_generated(config, handlers, facts)
    return (
        _render_main(tree, config, handlers)
        if facts["major"] == 1
        else _render_drop_ins(tree, config, handlers)
    )


def _render_main(tree: Tree, config: Path, handlers: list[Handler]) -> list[str]:
    draft, where = tree.draft(config), str(config)
    if not toml_text.parse(draft.text, where) and not draft.text.strip():
        draft.begin("# Created by `runc-wrapctl engine add`\nversion = 2\n")
    document = toml_text.parse(draft.text, where)
    _check_version(document, where, wanted=(2,))
    _refuse_imported(config, document)
    _refuse_taken(document, OLD_CRI, handlers, where)
    runtimes = toml_text.lookup(document, _runtimes(OLD_CRI))
    if not runtimes:
        body = toml_text.table([*_runtimes(OLD_CRI), "runc"], {"runtime_type": RUNTIME_TYPE})
        toml_text.append(draft, "runc-wrap: runc as containerd has it built in", body, where)
    for handler in handlers:
        toml_text.append(draft, _title(handler), tables(handler, document, OLD_CRI), where)
    for handler in (each for each in handlers if each.is_default):
        path = ["plugins", OLD_CRI, "containerd"]
        toml_text.set_value(draft, path, "default_runtime_name", handler.name, where)
    return _disabled(document, where)


def _render_drop_ins(tree: Tree, config: Path, handlers: list[Handler]) -> list[str]:
    draft, where = tree.draft(config), str(config)
    folder = config.parent / "conf.d"
    pattern = str(folder / "*.toml")
    if not draft.text.strip():
        head = "# Created by `runc-wrapctl engine add`\nversion = 3\n"
        draft.begin(f"{head}imports = [{toml_text.value(pattern)}]\n")
    document = toml_text.parse(draft.text, where)
    version = _check_version(document, where, wanted=(2, 3, 4))
    plugin = OLD_CRI if version == 2 else NEW_CRI  # noqa: PLR2004  # config version 2
    ours = {drop_in(config, handler) for handler in handlers} | {Path(p) for p in tree.records}
    everything = _with_imports(config, document, ours)
    _refuse_taken(everything, plugin, handlers, where)
    if not any(drop_in(config, handlers[0]).match(p) for p in _patterns(config, document)):
        toml_text.add_import(draft, pattern, where)
    for handler in handlers:
        body = f"version = {version}\n\n" + tables(handler, everything, plugin)
        if handler.is_default:
            body += _default_table(handler, plugin)
        _whole_file(tree, drop_in(config, handler), _title(handler), body)
    return _disabled(everything, where)


def _whole_file(tree: Tree, path: Path, title: str, body: str) -> None:
    draft = tree.draft(path)
    if draft.text:
        raise EngineError(
            f"{path} exists, and not as runc-wrapctl wrote it",
            "an unused name",
            "move that file away, or choose another --handler",
        )
    draft.replace(0, 0, toml_text.block(title, body), f"# BEGIN {title},", "whole")


def drop_in(config: Path, handler: Handler) -> Path:
    """Return the drop-in file of one handler (2.x)."""
    return config.parent / "conf.d" / f"50-runc-wrap-{handler.name}.toml"


def tables(handler: Handler, document: Table, plugin: str) -> str:
    """Return the handler's tables, with the settings of the owner's runc (or default) handler."""
    base = _base(document, plugin)
    path = [*_runtimes(plugin), handler.name]
    own: Table = {"runtime_type": RUNTIME_TYPE}
    own |= {"pod_annotations": _annotations(base.get("pod_annotations", []))}
    own |= {k: v for k, v in base.items() if k not in _NOT_INHERITED and not isinstance(v, dict)}
    options = {k: v for k, v in base.get("options", {}).items() if k != "BinaryName"}
    text = toml_text.table(path, own)
    return text + toml_text.table([*path, "options"], {"BinaryName": handler.path, **options})


def _default_table(handler: Handler, plugin: str) -> str:
    return toml_text.table(
        ["plugins", plugin, "containerd"], {"default_runtime_name": handler.name}
    )


def _annotations(owners: object) -> list[str]:
    kept = [str(each) for each in owners] if isinstance(owners, list) else []
    return [*ANNOTATIONS, *(each for each in kept if each not in ANNOTATIONS)]


def _base(document: Table, plugin: str) -> Table:
    runtimes = toml_text.lookup(document, _runtimes(plugin))
    section = toml_text.lookup(document, ["plugins", plugin, "containerd"])
    name = "runc" if "runc" in runtimes else section.get("default_runtime_name", "runc")
    found = runtimes.get(name, {})
    return found if isinstance(found, dict) else {}


def _runtimes(plugin: str) -> list[str]:
    return ["plugins", plugin, "containerd", "runtimes"]


def _title(handler: Handler) -> str:
    return f"runc-wrap: handler {handler.name}"


def _check_version(document: Table, where: str, wanted: tuple[int, ...]) -> int:
    version = document.get("version", 1)
    if version in wanted:
        return int(version)
    raise EngineError(
        f"{where}: config version {version!r}"
        + ("" if "version" in document else " (no `version` line means 1)"),
        f"version {' or '.join(map(str, wanted))}",
        f"`containerd -c {where} config dump` prints it in the installed containerd's version",
    )


def _refuse_taken(document: Table, plugin: str, handlers: list[Handler], where: str) -> None:
    runtimes = toml_text.lookup(document, _runtimes(plugin))
    for handler in handlers:
        if handler.name in runtimes:
            raise EngineError(
                f'{where}: a handler "{handler.name}" of which runc-wrapctl has no record',
                "an unused name",
                "another --handler, or remove that handler first",
            )


def _patterns(config: Path, document: Table) -> list[str]:
    listed = document.get("imports", [])
    patterns = (
        [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
    )
    return [str(config.parent / pattern) for pattern in patterns]


def _imported(config: Path, document: Table) -> list[tuple[Path, Table]]:
    """Return the imported files, recursively, in the order in which containerd reads them."""
    found: dict[Path, Table] = {}
    pending = [(config, document)]
    while pending:
        path, table = pending.pop(0)
        names = [name for p in _patterns(path, table) for name in sorted(glob.glob(p))]  # noqa: PTH207
        new = [Path(name) for name in names if Path(name) not in {config, *found}]
        found |= {each: toml_text.parse(engine_files.read(each) or "", str(each)) for each in new}
        pending += [(each, found[each]) for each in new]
    return list(found.items())


def _with_imports(config: Path, document: Table, ours: set[Path]) -> Table:
    for path, table in _imported(config, document):
        if path not in ours and path.resolve() not in ours:
            document = toml_text.merged(document, table)
    return document


def _refuse_imported(config: Path, document: Table) -> None:
    """Refuse, for 1.x, an imported file with the CRI plugin's key: it would replace our section."""
    for path, found in reversed(_imported(config, document)):
        if {OLD_CRI, "cri"} & set(toml_text.lookup(found, ["plugins"])):
            raise EngineError(
                f"{config} imports {path}, whose CRI section replaces that of {config.name}",
                "the CRI section in only one file",
                f"--config {path}, or move its section into {config} and run this again",
            )


def _disabled(document: Table, where: str) -> list[str]:
    listed = document.get("disabled_plugins", [])
    found = [each for each in listed if each in {"cri", OLD_CRI, NEW_CRI}]
    return [
        f"{where} disables the CRI plugin ({each}): no pod will find the handler" for each in found
    ]


def _refuse_generated(config: Path, handlers: list[Handler], facts: dict[str, Any]) -> None:
    """Refuse a config.toml that K3s, RKE2 or k0s generates from a template at each start."""
    owner = next((o for o, folder in GENERATED.items() if config.is_relative_to(folder)), None)
    if owner is None:
        return
    plugin = OLD_CRI if facts["major"] == 1 else NEW_CRI
    body = "\n".join(tables(handler, {}, plugin) for handler in handlers)
    raise EngineError(
        f"{owner} generates {config} at each start",
        f"{_template(owner, facts['major'])} to contain:\n{body}",
        f"add this there (and SystemdCgroup as for runc), then restart {owner}",
    )


def _template(owner: str, major: int) -> str:
    if owner == "k0s":
        return "/etc/k0s/containerd.d/runc-wrap.toml"
    name = "config.toml.tmpl" if major == 1 else "config-v3.toml.tmpl"
    return f'{GENERATED[owner]}/{name} (after `{{{{ template "base" . }}}}`)'


def generated_here(root: Path = Path("/")) -> str | None:
    """Return the config.toml that a distribution on this node generates, if any."""
    for folder in GENERATED.values():
        if (root / folder.lstrip("/")).is_dir():
            return f"{folder}/{'containerd.toml' if folder == GENERATED['k0s'] else 'config.toml'}"
    return None
