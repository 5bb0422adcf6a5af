"""A handler's tables, and the file that they go into: the main file, or a drop-in for each.

A handler inherits nothing by itself: SystemdCgroup, base_runtime_spec and the like are repeated.

Of 1.x the main file has them: an imported file with the CRI plugin's key replaces the whole
section. If a file defines any handler there, the built-in `runc` no longer exists (shown by
`containerd config dump` of 1.7), so our first one also adds `runc` if the owner does not define it.

Of 2.x a drop-in has them, which the main file must import. Where it imports no directory of
drop-ins, ours alone are imported, by a pattern of their names: what else lies there has been
unread, may be of a version with which containerd does not start, and stays unread. It is a
pattern, as containerd does not start if an imported file is missing.
"""

from pathlib import Path

from runc_wrap.engines import toml_text
from runc_wrap.engines.containerd import loaded_files
from runc_wrap.engines.containerd.loaded_files import OLD_CRI, Loaded, section_path
from runc_wrap.engines.engine_files import Tree
from runc_wrap.engines.handler import ANNOTATIONS, EngineError, Facts, Handler, refuse_taken

_RUNTIME_TYPE = "io.containerd.runc.v2"
_NOT_INHERITED = frozenset(
    {"runtime_type", "runtime_path", "runtime_engine", "runtime_root", "options", "pod_annotations"}
)
HEAD = "50-runc-wrap-"  # of a drop-in's name
_FOLDERS = ("conf.d", "config-v3.toml.d", "config.toml.d")
_NEW_FILE = "# Created by `runc-wrapctl engine add`\nversion = 2\n"
_NEW_IMPORTING_FILE = """\
# Created by `runc-wrapctl engine add`. It imports runc-wrap's own drop-ins only: without this file
# containerd read nothing else in conf.d either.
version = 3
imports = [{pattern}]
"""


def render_main_file(
    tree: Tree, config: Path, handlers: list[Handler], versions: tuple[int, ...]
) -> None:
    """Put `handlers` into the draft of a main file of one of these versions."""
    where = str(config)
    text = tree.text(config) if tree.text(config).strip() else _NEW_FILE
    document = toml_text.parse(text, where)
    loaded_files.check_version(document, where, wanted=versions)
    plugin = loaded_files.plugin_of(document["version"])
    if plugin == OLD_CRI:
        _refuse_imported(config, document)
    path = section_path(plugin)
    section = toml_text.lookup(document, path)
    refuse_taken(where, handlers, toml_text.lookup(section, ["runtimes"]))
    bodies = {title(each): tables(each, section, plugin) for each in handlers}
    if not section.get("runtimes"):
        runc = toml_text.table([*path, "runtimes", "runc"], {"runtime_type": _RUNTIME_TYPE})
        bodies = {"runc-wrap: runc as containerd has it built in": runc, **bodies}
    text = toml_text.with_tables(text, bodies, where)
    for handler in (each for each in handlers if each.default):
        text = toml_text.with_value(text, path, "default_runtime_name", handler.name, where)
    tree.put(config, text)


def _refuse_imported(config: Path, document: toml_text.Table) -> None:
    """Refuse, for 1.x, an imported file with the CRI plugin's key: it would replace our section."""
    for each in reversed(loaded_files.load(config, document)[1:]):
        if {OLD_CRI, "cri"} & set(toml_text.lookup(each.table, ["plugins"])):
            raise EngineError(
                f"{config} imports {each.path}, whose CRI section replaces {config.name}'s; try: "
                f"--config {each.path}, or move its section into {config}"
            )


def render_drop_ins(tree: Tree, config: Path, handlers: list[Handler], facts: Facts) -> None:
    """Put the drop-ins, and the import if it is missing, into the drafts of `tree`."""
    text, where = tree.text(config), str(config)
    if not text.strip():
        pattern = config.parent / "conf.d" / f"{HEAD}*.toml"
        text = _NEW_IMPORTING_FILE.format(pattern=toml_text.value(str(pattern)))
        tree.put(config, text)
    main = toml_text.parse(text, where)
    loaded_files.check_version(main, where, wanted=(1, 2, 3, 4))
    files = loaded_files.load(config, main, map(Path, tree.saved))
    folder = folder_of(config, files)
    paths = [drop_in(folder, handler) for handler in handlers]
    files = [each for each in files if each.path not in paths]
    imported = loaded_files.patterns(config, main)
    if not any(paths[0].match(pattern) for pattern in imported):
        tree.put(config, toml_text.with_import(text, str(folder / f"{HEAD}*.toml"), where))
    write_drop_ins(tree, folder, handlers, files, facts)


def folder_of(config: Path, files: list[Loaded]) -> Path:
    """Return the directory of drop-ins that the main file imports, conf.d beside it if none.

    k3s and RKE2 import the other ones.
    """
    imported = loaded_files.patterns(config, files[0].table)
    folders = [config.parent / name for name in _FOLDERS]
    found = (each for each in folders for p in imported if (each / f"{HEAD}x.toml").match(p))
    return next(found, folders[0])


def write_drop_ins(
    tree: Tree, folder: Path, handlers: list[Handler], files: list[Loaded], facts: Facts
) -> None:
    """Put one drop-in for each handler into `folder`, in the dialect of the files before them."""
    version, plugin = loaded_files.dialect(files, facts)
    section = loaded_files.section(files, facts)
    new = [each for each in handlers if not tree.has_recorded(title(each))]
    refuse_taken(str(files[0].path), new, toml_text.lookup(section, ["runtimes"]))
    for handler in handlers:
        said = f"version = {version}\n\n" if version else ""
        body = said + tables(handler, section, plugin)
        if handler.default:
            default = {"default_runtime_name": handler.name}
            body += toml_text.table(section_path(plugin), default)
        tree.put_whole(drop_in(folder, handler), title(handler), body)


def drop_in(folder: Path, handler: Handler) -> Path:
    """Return the drop-in file of one handler."""
    return folder / f"{HEAD}{handler.name}.toml"


def title(handler: Handler) -> str:
    """Return the title of the handler's block."""
    return f"runc-wrap: handler {handler.name}"


def tables(handler: Handler, section: toml_text.Table, plugin: str) -> str:
    """Return the handler's tables; `section` is the one in force, without our handlers."""
    runtimes = toml_text.lookup(section, ["runtimes"])
    name = "runc" if "runc" in runtimes else str(section.get("default_runtime_name", "runc"))
    base = toml_text.lookup(runtimes, [name])  # the owner's runc, or else the default handler
    owners = base.get("pod_annotations")
    kept = [str(each) for each in owners] if isinstance(owners, list) else []
    path = [*section_path(plugin), "runtimes", handler.name]
    own: toml_text.Table = {"runtime_type": _RUNTIME_TYPE}
    own |= {"pod_annotations": [*dict.fromkeys([*ANNOTATIONS, *kept])]}
    own |= {k: v for k, v in base.items() if k not in _NOT_INHERITED and not isinstance(v, dict)}
    options = {k: v for k, v in toml_text.lookup(base, ["options"]).items() if k != "BinaryName"}
    text = toml_text.table(path, own)
    return text + toml_text.table([*path, "options"], {"BinaryName": handler.path, **options})
