"""CRI-O: crio.conf and the drop-ins in crio.conf.d beside it, of which ours is one per handler.

CRI-O reads every file there, of whatever name, in lexical order, and replaces a runtime's table by
a later one whole. A handler inherits nothing by itself; `inherit_default_runtime` would overwrite
runtime_path with the default's, and `platform_runtime_paths` choose another runtime for an image.
So ours repeats the settings of the default runtime's table, but for these. CRI-O passes on all
annotations; `allowed_annotations` is about those that it acts on itself.

`crio config` reads and validates them as the daemon does and prints the result. At SIGHUP the
daemon logs that it has taken runtimes (since 1.26), but into a copy of its configuration that no
pod is started with: 1.36.3 does not find a new handler until it is restarted (tried; server.New
copies what the runtimes are looked up in). A restart fails loudly, too, and ends no container.
Sources: cri-o pkg/config/config.go (UpdateFromPath, RuntimeHandler, ValidateRuntimes),
internal/criocli/config.go, pkg/config/reload.go, server/server.go, internal/oci/oci.go.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from runc_wrap.engines import dependent_container, engine_files, toml_text
from runc_wrap.engines.cri_engine import CriEngine
from runc_wrap.engines.dependent_container import Dependent, Unknown
from runc_wrap.engines.engine_class import ROOT, below
from runc_wrap.engines.engine_files import Tree
from runc_wrap.engines.handler import Facts, Handler, refuse_taken
from runc_wrap.engines.toml_text import Table
from runc_wrap.host import engine_names, program
from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.node.paths import Places

_IMAGE = re.compile(r'^#\s*pause_image = "([^"\n]{1,255})"$', re.MULTILINE)
_RUNTIME = ["crio", "runtime"]
_BUILT_IN = ("crun", "runc")  # the default since 1.31, and the one before
_OF_OCI = ("", "oci")
_NOT_INHERITED = frozenset(
    {"runtime_path", "runtime_type", "runtime_config_path", "runtime_pull_image"}
    | {"platform_runtime_paths", "inherit_default_runtime"}
)


class Crio(CriEngine):
    """See Engine."""

    names = engine_names.CRIO
    usual = Path("/etc/crio/crio.conf")
    usual_socket = Path("/run/crio/crio.sock")
    units = ("crio.service",)
    untold = "releases before 1.30 do not, so that what is in force is not known"

    @classmethod
    def detect(cls, root: Path = ROOT) -> list[Self]:
        """Return CRI-O if it is installed or configured."""
        is_there = program.locate(cls.names.program) or (root / below(cls.usual.parent)).is_dir()
        return [cls.at(cls.usual, root)] if is_there else []

    @classmethod
    def render(cls, tree: Tree, config: Path, handlers: list[Handler], facts: Facts) -> None:
        """Put a drop-in for each handler into the drafts."""
        files = engine_files.with_drop_ins(tree, config, handlers)
        runtime: Table = {}
        for _, table in files:  # a runtime's table replaces the one before
            new = toml_text.lookup(table, _RUNTIME)
            runtimes = {**runtime.get("runtimes", {}), **toml_text.lookup(new, ["runtimes"])}
            runtime = {**runtime, **new, "runtimes": runtimes}
        refuse_taken(f"{config} or its drop-ins", handlers, runtime["runtimes"])
        for handler in handlers:
            _render_one(tree, engine_files.drop_in(config, handler), handler, _base(runtime))
        said = {path: toml_text.lookup(table, _RUNTIME) for path, table in files[1:]}
        last = max((path for path in said if "default_runtime" in said[path]), default=ROOT)
        ours = (engine_files.drop_in(config, each) for each in handlers if each.default)
        tree.notes += [f"{last} names another default runtime, after {each.name}"
                       for each in ours if last > each]  # fmt: skip

    def check_command(self) -> list[str] | None:
        """Return `crio config`, which validates what it prints.

        CRI-O fails if a file that is named does not exist, and reads the usual one unnamed, if
        there is one. Its own packages bring drop-ins only.
        """
        if self.binary is None:
            return None
        is_unnamed = self.config == self.usual and not self.config.exists()
        named = [] if is_unnamed else ["--config", str(self.config)]
        return [str(self.binary), *named, "--config-dir", f"{self.config}.d", "config"]

    def in_force(self) -> dict[str, str] | None:
        """Return the handlers that `crio config` prints."""
        document = self.dump()
        if document is None:
            return None
        runtimes = toml_text.lookup(document, [*_RUNTIME, "runtimes"])
        tables = {name: each for name, each in runtimes.items() if isinstance(each, dict)}
        return {name: str(each.get("runtime_path") or "") for name, each in tables.items()}

    def default(self) -> str | None:
        """Return the default runtime as its files say; its socket does not."""
        said = self._table(_RUNTIME).get("default_runtime")
        return str(said) if said else None

    def default_files(self) -> list[Path]:
        """Return the files that are the default of pods, of all or of one handler; [] if none.

        A handler's own file counts before the general one (since 1.34: pkg/config/config.go,
        RuntimeHandler).
        """
        runtime = self._table(_RUNTIME)
        tables = [runtime, *toml_text.lookup(runtime, ["runtimes"]).values()]
        named = {each.get("seccomp_profile") for each in tables if isinstance(each, dict)}
        return sorted(Path(str(each)) for each in named if each)

    def answers_at(self) -> Path:
        """Return where it answers: as `crio config` prints it, otherwise the usual place."""
        said = self._table(["crio", "api"]).get("listen")
        return Path(str(said or self.socket or self.usual_socket))

    def sandbox_image(self) -> str:
        """Return what `crio config` prints, a default of which is in a comment."""
        printed = self.printed() or ""
        document = toml_text.document(printed) or {}
        said = toml_text.lookup(document, ["crio", "image"]).get("pause_image")
        default = _IMAGE.search(printed)
        return str(said or (default[1] if default else ""))

    def needing(self, path: Path) -> Iterator[Dependent]:
        """Yield each pod, whose containers it stops and starts by the handler's name.

        The ledger knows them. What CRI-O keeps of a pod has the name as an annotation, which the
        pod's author may have replaced (server/sandbox_run_linux.go).
        """
        try:
            started = [*dependent_container.of_handler(Places(path.parent.parent), path.name)]
        except OSError as error:
            raise Unknown(f"CRI-O's pods are known by the ledger: {error}") from None
        yield from (one for one in started if one.engine in (self.name, UNKNOWN))

    def _table(self, keys: list[str]) -> Table:
        return toml_text.lookup(self.dump() or {}, keys)


def _base(runtime: Table) -> Table:
    """Return what our handlers repeat of the default runtime's table; {} if that is none of OCI."""
    runtimes = runtime["runtimes"]
    names = (str(runtime.get("default_runtime", "")), *_BUILT_IN)
    tables = (runtimes.get(name) for name in names)
    found: Table = next((each for each in tables if isinstance(each, dict)), {})
    if found.get("runtime_type", "") not in _OF_OCI:
        return {}
    return {key: value for key, value in found.items() if key not in _NOT_INHERITED}


def _render_one(tree: Tree, path: Path, handler: Handler, base: Table) -> None:
    default = {"default_runtime": handler.name}
    body = toml_text.table(_RUNTIME, default) if handler.default else ""
    own: Table = {"runtime_path": handler.path, "runtime_type": "oci"} | base
    where = [*_RUNTIME, "runtimes", handler.name]
    plain = {key: value for key, value in own.items() if not isinstance(value, dict)}
    body += toml_text.table(where, plain)
    for key, value in own.items():
        body += toml_text.table([*where, key], value) if isinstance(value, dict) else ""
    tree.put_whole(path, f"runc-wrap: runtime {handler.name}", body)
