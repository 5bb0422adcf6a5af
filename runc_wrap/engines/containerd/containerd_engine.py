"""containerd: its own packages' and the one of each distribution.

Its loader is behind `config dump` too, so that a dump that fails is a containerd that does not
start. It has no reload: SIGHUP ends it (cmd/containerd/command/main_unix.go).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from runc_wrap.engines import engine_files, engine_unit, toml_text
from runc_wrap.engines.containerd import distributions, handler_tables, loaded_files
from runc_wrap.engines.cri import cri_runtime
from runc_wrap.engines.cri_engine import CriEngine
from runc_wrap.engines.dependent_container import Dependent, Unknown, leads_to
from runc_wrap.engines.docker.docker_engine import Docker
from runc_wrap.engines.engine_class import NOTHING, RESTART, ROOT, Reload
from runc_wrap.engines.engine_files import Tree
from runc_wrap.engines.handler import CallFailed, EngineError, Facts, Handler
from runc_wrap.host import engine_names, files

_GRPC_PLUGIN = "io.containerd.server.v1.grpc"  # has the address from configuration version 4 on
_IMAGES = "io.containerd.cri.v1.images"  # has the sandbox's image from version 3 on
_K0S = "k0s"
_STATE = Path("/run/containerd")
_STATES = (
    *(str(_STATE), "/run/docker/containerd/daemon", "/run/k3s/containerd"),
    *(each.state for each in distributions.ALL if each.state),
)
_CRI_NAMESPACE = "k8s.io"
_TASKS = "io.containerd.runtime.v2.task"
_RUNTIME_FILE = "runtime"  # in a task's bundle
_LONGEST_PATH = 4096
_NO_CRI = 12  # gRPC's UNIMPLEMENTED: the plugin is off


@dataclass(frozen=True)
class Containerd(CriEngine):
    """See Engine."""

    names = engine_names.CONTAINERD
    usual = Path("/etc/containerd/config.toml")
    usual_socket = Path("/run/containerd/containerd.sock")
    reads_itself = "k0s watches its drop-ins"
    units = ("containerd.service", *(unit for each in distributions.ALL for unit in each.units))

    # Where it is.

    @classmethod
    def detect(cls, root: Path = ROOT) -> list[Self]:
        """Return containerd of its own packages, if installed, and those of distributions."""
        return [*super().detect(root), *(cls(*one) for one in distributions.detected(root))]

    @classmethod
    def at(cls, config: Path, root: Path = ROOT) -> Self:
        """Return the containerd that reads this configuration."""
        distribution = distributions.of_config(config)
        if distribution is not None:
            return cls(*distributions.at(distribution, root, config))
        return super().at(config, root)

    # Its files.

    def facts(self, version: str | None, prefix: Path) -> Facts:
        """Return {major: 1 or 2, minor}. Raises EngineError for an unknown version."""
        major, minor = generation(version or self.version)
        return {"major": major, "minor": minor}

    @classmethod
    def render(cls, tree: Tree, config: Path, handlers: list[Handler], facts: Facts) -> None:
        """Put `handlers` where this version and distribution read them. Facts: {major, minor}."""
        by = distributions.of_config(config)
        if by is not None:
            distributions.render(tree, config, handlers, facts, by)
        elif facts["major"] == 1:
            handler_tables.render_main_file(tree, config, handlers, (2,))
        else:
            handler_tables.render_drop_ins(tree, config, handlers, facts)

    def check_command(self) -> list[str] | None:
        """Return `containerd config dump`, which prints the configuration in force.

        Without a file at the usual place that is `config default`: `dump` then fails (1.7), but
        the daemon starts (containerd:cmd/containerd/command/main.go).
        """
        if self.binary is None:
            return None
        by = distributions.named(self.flavour)
        is_template = by and by.in_force and str(self.config) == by.config
        config = Path(by.in_force) if by and is_template else self.config
        if config == self.usual and not config.exists():
            return [str(self.binary), "config", "default"]
        return [str(self.binary), "-c", str(config), "config", "dump"]

    def stands_alone(self, at: Path) -> bool:
        """Ask so of its own file, without imports."""
        return not self.flavour and "imports" not in engine_files.table(at)

    def off(self) -> str:
        """Return that its CRI plugin is disabled, as Docker's package has it.

        Raises EngineError for a file that cannot be read.
        """
        loaded = loaded_files.load(self.config, engine_files.table(self.config))
        return next(filter(None, map(loaded_files.disabled, loaded)), "")

    def reload(self, *, loses_default: bool = False) -> Reload:
        """Return a restart, but for k0s, which watches its directory of drop-ins."""
        return NOTHING if self.flavour == _K0S else RESTART

    def ended_by_restart(self) -> str:
        """Return what runs in its unit, and Docker's if systemd restarts it, too."""
        ended = [super().ended_by_restart()]
        if engine_unit.is_restarted_with(Docker.units[0], self.unit):
            dockers = Docker(Docker.usual).ended_by_restart()
            ended.append(dockers and f"Docker's, which systemd restarts with it: {dockers}")
        return " and ".join(filter(None, ended))

    # What is in force.

    def in_force(self) -> dict[str, str] | None:
        """Return the handlers of the dump."""
        document = self.dump()
        return None if document is None else loaded_files.of_dump(document)

    def configured(self) -> Mapping[str, str | None] | None:
        """Return the same, None if its distribution writes its files when it starts."""
        return None if self._waits_for_start() else self.in_force()

    def _waits_for_start(self) -> bool:
        return bool(self.flavour) and distributions.waits_for_start(self.config)

    def problem(self, handler: Handler, facts: Facts) -> str:
        """Ask one of the generation that the files are for."""
        is_other = self.version is None or generation(self.version)[0] != facts["major"]
        return "" if is_other or self._waits_for_start() else super().problem(handler, facts)

    def default(self) -> str | None:
        """Return what it tells in its status."""
        with suppress(CallFailed):
            return cri_runtime.default_handler(self.where())
        return None

    def answers_at(self, document: toml_text.Table | None = None) -> Path:
        """Return where it answers: as its dump says, otherwise at the usual place.

        A dump does not show what a flag says, but the usual place instead.
        """
        by = distributions.named(self.flavour)
        if by and by.state:
            return Path(by.socket)
        document = self.dump() if document is None else document
        tables = (["grpc"], ["plugins", _GRPC_PLUGIN])
        said = (toml_text.lookup(document or {}, table).get("address") for table in tables)
        return Path(str(next(filter(None, said), self.socket or self.usual_socket)))

    def state(self, document: toml_text.Table) -> Path:
        """Return the directory of its running containers: a flag's, as a dump says, or usual."""
        by = distributions.named(self.flavour)
        said = by.state if by and by.state else document.get("state")
        return Path(str(said or _STATE))

    def sandbox_image(self) -> str:
        """Return what its dump says."""
        document = self.dump() or {}
        old = toml_text.lookup(document, ["plugins", loaded_files.OLD_CRI]).get("sandbox_image")
        new = toml_text.lookup(document, ["plugins", _IMAGES, "pinned_images"]).get("sandbox")
        return str(old or new or "")

    # Containers that need us.

    def needing(self, path: Path) -> Iterator[Dependent]:
        """Yield its pods, running or not, whose containers are started again by that name.

        Source: containerd:internal/cri/server.
        """
        document = self.dump() or {}
        yield from (one for _, one in _tasks(self.state(document), _CRI_NAMESPACE, path))
        try:
            pods = cri_runtime.handlers_of_pods(self.answers_at(document))
        except CallFailed as failure:
            if failure.code == _NO_CRI:
                return
            raise Unknown(f"containerd does not show its pods: {failure}") from None
        for pod, handler in pods.items():
            if handler == path.name:
                yield Dependent(self.name, f"{_CRI_NAMESPACE}/{pod}")

    @classmethod
    def calling(cls, path: Path) -> Iterator[tuple[str, Dependent]]:
        """Yield each task, of Docker's, too.

        Its shim has the path in <bundle>/runtime (containerd:cmd/containerd-shim-runc-v2/runc/
        container.go, WriteRuntime).
        """
        for state in _STATES:
            yield from _tasks(Path(state), "*", path)


def _tasks(state: Path, namespace: str, path: Path) -> Iterator[tuple[str, Dependent]]:
    for file in state.glob(f"{_TASKS}/{namespace}/*/{_RUNTIME_FILE}"):
        called, bundle = files.text(file, _LONGEST_PATH) or "", file.parent
        if called.startswith("/") and leads_to(called, path):
            named = f"{bundle.parent.name}/{bundle.name}"
            yield bundle.name, Dependent(Containerd.names.name, named, "running")


def generation(text: str | None) -> tuple[int, int]:
    """Return (1 or 2, minor) of containerd's version. Raises EngineError."""
    found = re.match(r"v?(\d+)\.(\d+)?", text or "")
    if found is None:
        raise EngineError("no containerd answers to --version; try: --containerd-version 2.1")
    return (1 if int(found[1]) < 2 else 2, int(found[2] or 0))  # noqa: PLR2004  # containerd 2
