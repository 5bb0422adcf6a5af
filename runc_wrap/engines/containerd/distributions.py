"""The distributions of Kubernetes that bring their own containerd: where it is, which are here.

They write its configuration again at every start, so that a handler goes elsewhere:

    k3s, RKE2  a drop-in where the generated file imports them (since February 2026, k3s pull
               request 13680), otherwise the template that it is generated from
    k0s        /etc/k0s/containerd.d, which it watches: no restart
    MicroK8s   the template, in which sed replaces ${NAME}: TOML before as after

Sources: k3s-io/k3s pkg/agent/containerd; k0sproject/k0s pkg/component/worker/containerd and
docs/runtime.md; canonical/microk8s microk8s-resources/wrappers/run-containerd-with-args.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runc_wrap.engines import engine_files, engine_unit, toml_text
from runc_wrap.engines.containerd import handler_tables, loaded_files
from runc_wrap.engines.containerd.loaded_files import NEW_CRI, OLD_CRI, Loaded
from runc_wrap.engines.engine_files import Tree
from runc_wrap.engines.handler import EngineError, Facts, Handler, refuse_taken
from runc_wrap.host import program
from runc_wrap.node import installed_programs

Found = tuple[Path, Path | None, str, Path, str, str | None]  # an Engine's fields
_RANCHER = "agent/etc/containerd/config.toml"
_MANAGED = "# k0s_managed=true"
_BASE = '{{ template "base" . }}\n'
_TEMPLATES = {2: "config-v3.toml.tmpl", 1: "config.toml.tmpl"}  # by containerd's generation


@dataclass(frozen=True)
class Distribution:
    """`config`: the file by which a registration is known: what containerd reads, or its template.

    `in_force`: what containerd reads, if that is another file. `units`: the first that the node has
    runs it. `state`: its directory of running containers, if a flag says it, and another one the
    socket: the configuration does not count.
    """

    name: str
    config: str
    socket: str
    units: tuple[str, ...]
    state: str = ""
    in_force: str = ""


def _rancher(name: str, units: tuple[str, ...]) -> Distribution:
    config = f"/var/lib/rancher/{name}/{_RANCHER}"
    return Distribution(name, config, "/run/k3s/containerd/containerd.sock", units)


ALL = (
    _rancher("k3s", ("k3s.service", "k3s-agent.service")),
    _rancher("rke2", ("rke2-server.service", "rke2-agent.service")),
    Distribution(
        "k0s",
        "/etc/k0s/containerd.toml",
        "/run/k0s/containerd.sock",
        ("k0scontroller.service", "k0sworker.service"),
        state="/run/k0s/containerd",
    ),
    Distribution(
        "microk8s",
        "/var/snap/microk8s/current/args/containerd-template.toml",
        "/var/snap/microk8s/common/run/containerd.sock",
        ("snap.microk8s.daemon-containerd.service",),
        state="/var/snap/microk8s/common/run/containerd",
        in_force="/var/snap/microk8s/current/args/containerd.toml",
    ),
)


def named(flavour: str) -> Distribution | None:
    """Return the distribution of an installation's flavour; None for "", which is none."""
    return next((each for each in ALL if each.name == flavour), None)


def of_config(config: Path) -> Distribution | None:
    """Return the distribution that writes this configuration of containerd, None if none does.

    With `--data-dir` k3s and RKE2 keep it elsewhere, at the same path below.
    """
    found = next((each for each in ALL if str(config) == each.config), None)
    if found is None and str(config).endswith(f"/{_RANCHER}"):
        return ALL[1 if "rke2" in config.parts else 0]
    return found


def binary(each: Distribution, config: Path | None = None) -> str:
    """Return the path of its containerd; `--data-dir` moves it, as it moves `config`."""
    place = installed_programs.DISTRIBUTIONS[each.name]
    if config is None or not str(config).endswith(f"/{_RANCHER}"):
        return place
    usual, moved = (str(one).removesuffix(f"/{_RANCHER}") for one in (each.config, config))
    return place.replace(usual, moved, 1)


def detected(root: Path) -> Iterator[Found]:
    """Yield the containerds of distributions: a configuration or a binary is on the node."""
    for each in ALL:
        if any((root / path.lstrip("/")).exists() for path in (each.config, binary(each))):
            yield at(each, root)


def at(each: Distribution, root: Path, config: Path | None = None) -> Found:
    """Return a distribution's containerd as it is on the node, with this configuration."""
    path = program.locate(str(root / binary(each, config).lstrip("/")))
    version = installed_programs.version_of(path) if path else None
    where = (config or Path(each.config), path, engine_unit.first(each.units, root))
    return *where, Path(each.socket), each.name, version


def render(
    tree: Tree, config: Path, handlers: list[Handler], facts: Facts, by: Distribution
) -> None:
    """Put `handlers` where distribution `by` reads them. Raises EngineError."""
    if by.name == "microk8s":
        if not tree.text(config):
            raise EngineError(f"{config} does not exist; try: install MicroK8s")
        handler_tables.render_main_file(tree, config, handlers, (2, 3, 4))
        return
    main = toml_text.parse(tree.text(config), str(config))
    files = loaded_files.load(config, main, map(Path, tree.saved))
    if by.name == "k0s":
        _k0s(tree, config, handlers, facts, files)
        return
    folder = handler_tables.folder_of(config, files)
    if facts["major"] > 1 and folder != config.parent / "conf.d":
        handler_tables.write_drop_ins(tree, folder, handlers, files, facts)
    else:
        _template(tree, config, handlers, facts, by.name)


def waits_for_start(config: Path) -> bool:
    """Tell whether a handler shows only after its distribution has generated `config` again."""
    by = of_config(config)
    if by is None:
        return False
    main = engine_files.table(config)
    if by.name == "k0s":  # of containerd 1 it merges them into a file of its own, and imports that
        drop_in = config.parent / "containerd.d" / f"{handler_tables.HEAD}x.toml"
        return not any(drop_in.match(each) for each in loaded_files.patterns(config, main))
    found = [Loaded(config, main)]
    return by.name == "microk8s" or handler_tables.folder_of(config, found).name == "conf.d"


def _k0s(
    tree: Tree, config: Path, handlers: list[Handler], facts: Facts, files: list[Loaded]
) -> None:
    """k0s merges drop-ins for 1.x itself, and from 1.36 on refuses any but of version 3."""
    if not tree.text(config).lstrip("\n").startswith(_MANAGED):  # before 1.30, in line 2
        raise EngineError(
            f"{config} is not k0s' own, as its first line is not {_MANAGED!r}, and reads no "
            "drop-ins; try: remove that file and restart k0s"
        )
    version = 2 if facts["major"] == 1 else 3
    folder = config.parent / "containerd.d"
    main = Loaded(config, {**files[0].table, "version": version})
    mine = {handler_tables.drop_in(folder, handler) for handler in handlers}
    others = [each for each in files[1:] if each.path not in mine]
    handler_tables.write_drop_ins(tree, folder, handlers, [main, *others], facts)


def _template(tree: Tree, config: Path, handlers: list[Handler], facts: Facts, name: str) -> None:
    """Append to the template, which is no TOML; a default there would define a table twice."""
    if any(handler.default for handler in handlers):
        raise EngineError(
            f"this {name} imports no drop-ins, and its template cannot name a default; try: omit "
            f"--default, and write `default-runtime: NAME` into /etc/rancher/{name}/config.yaml"
        )
    paths = [config.parent / name for name in _TEMPLATES.values()]  # k3s takes the newer one
    otherwise = config.parent / _TEMPLATES[facts["major"]]
    path = next((path for path in paths if tree.text(path)), otherwise)
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
        text = toml_text.appended(text, handler_tables.title(handler), body)
    tree.put(path, text)
