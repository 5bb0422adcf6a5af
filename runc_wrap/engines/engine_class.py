"""The class that answers all that is asked of an engine; each has a room beside this module.

An object is one engine with one configuration. Only its probe containers change the node.
"""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

from runc_wrap.engines import engine_unit, toml_text
from runc_wrap.engines.dependent_container import Dependent
from runc_wrap.engines.engine_files import Tree
from runc_wrap.engines.handler import CallFailed, EngineError, Facts, Handler
from runc_wrap.engines.probe_container import CANARY, Probe, Started
from runc_wrap.host import program
from runc_wrap.host.engine_names import EngineNames
from runc_wrap.node import installed_programs

Reload = Literal["restart", "reload", "none"]
NOTHING: Final = "none"
RELOAD: Final = "reload"
RESTART: Final = "restart"
ROOT = Path("/")
SHORT, LONG = 20.0, 60.0  # seconds


@dataclass(frozen=True)
class Engine(ABC):
    """One engine with one configuration; a node may have several of the same kind.

    `config`: the main file, which need not exist. `unit`: the systemd unit that runs it, "" if
    none does. `socket`: where it answers. `flavour`: the distribution that brings it ("k3s",
    "rke2", "k0s", "microk8s"), "" for a package of its own. `version`: of the program on disk.

    A `str` that is a reason is a sentence, "" for none.
    """

    config: Path
    binary: Path | None = None
    unit: str = ""
    socket: Path | None = None
    flavour: str = ""
    version: str | None = None
    named_socket: Path | None = None  # where somebody says that it answers

    names: ClassVar[EngineNames]
    usual: ClassVar[Path]  # the configuration of its own package
    usual_socket: ClassVar[Path]
    units: ClassVar[tuple[str, ...]] = ()  # all that may run it
    checks_files: ClassVar[bool] = True  # each release has a check of its files
    has_runtime_classes: ClassVar[bool] = False  # Kubernetes starts its containers by a handler
    reads_itself: ClassVar[str] = ""  # how it reads its files without being restarted, if it does
    restart_note: ClassVar[str] = ""  # what its restart ends, for a person who does it
    takes_path: ClassVar[bool] = False  # a runtime by its path, without a handler
    untold: ClassVar[str] = ""  # why a running one may not say which handlers it has

    @property
    def name(self) -> str:
        """Its name in `engine add NAME` and in a registration's state."""
        return self.names.name

    def __str__(self) -> str:
        brought = f" of {self.flavour}" if self.flavour else ""
        return f"{self.name}{brought} ({self.config})"

    @property
    def journal(self) -> str:
        """The end of a sentence: where its failure is explained."""
        return f"; try: `journalctl -u {self.unit}`" if self.unit else ""

    # Where it is.

    @classmethod
    def detect(cls, root: Path = ROOT) -> list[Self]:
        """Return its installations. Tests give a `root` under which its files are looked for."""
        is_there = program.locate(cls.names.program) or (root / below(cls.usual)).exists()
        return [cls.at(cls.usual, root)] if is_there else []

    @classmethod
    def at(cls, config: Path, root: Path = ROOT) -> Self:
        """Return the engine that reads this configuration, installed or not."""
        binary = program.locate(cls.names.program)
        version = installed_programs.version_of(binary) if binary else None
        unit = engine_unit.first(cls.units, root)
        return cls(config, binary, unit, cls.usual_socket, version=version)

    # Its files, and how a handler gets into them.

    def facts(self, version: str | None, prefix: Path) -> Facts:
        """Return what `render` has to know of the node; `version` is what the owner states.

        Raises EngineError.
        """
        return {}

    @classmethod
    @abstractmethod
    def render(cls, tree: Tree, config: Path, handlers: list[Handler], facts: Facts) -> None:
        """Put `handlers`, at least one, and warnings into `tree`. Raises EngineError."""

    # Returns a changed text without our parts. Raises EngineError if they were changed, too.
    without_ours = staticmethod(toml_text.without_ours)

    @staticmethod
    def states_all(text: str | None) -> bool:
        """Tell whether a reload takes all handlers from this text, and keeps none of a former."""
        return True

    @staticmethod
    def neutral(text: str | None) -> str | None:
        """Return a text after which a reload keeps nothing but `text`; None if that is enough."""
        return None

    def check_command(self) -> list[str] | None:
        """Return the engine's own check of its configuration; status 0: it would start with it.

        None if it has none, or is not installed.
        """
        return None

    def complaint(self) -> str:
        """Return what the engine's own check says against its files."""
        command = self.check_command()
        return program.failure(*command) if command else ""

    def refusal(self) -> str:
        """Return why the engine would not start with its files, or cannot check them."""
        if self.check_command() is None:
            return f"{self.name} is not installed, or cannot check {self.config}"
        said = self.complaint()
        return said and f"{self.name} refuses its files: {said}"

    def refusal_of(self, waiting: Mapping[Path, Path]) -> str:
        """Return the same of {file: where its new text waits}, "" if that cannot be asked."""
        at = waiting.get(self.config.resolve())
        said = replace(self, config=at).complaint() if at and self.stands_alone(at) else ""
        said = said.replace(str(at), str(self.config))
        return said and f"{self.name} refuses its new file: {said}"

    def stands_alone(self, at: Path) -> bool:
        """Tell whether a file names no others, which would be looked for beside it."""
        return False

    def off(self) -> str:
        """Return why it starts no container by a handler, whatever its files say of handlers."""
        return ""

    # Reading them again.

    def reload(self, *, loses_default: bool = False) -> Reload:
        """Return what makes it read its configuration again; `none`: it does so by itself."""
        return RESTART

    def reload_command(self, *, loses_default: bool = False) -> str:
        """Return the command for that, for a person."""
        how = self.reload(loses_default=loses_default)
        if how == NOTHING:
            return f"nothing to restart ({self.reads_itself})"
        return f"systemctl {how} {self.unit.removesuffix('.service')}"

    def ended_by_restart(self) -> str:
        """Return which containers a restart would end."""
        return engine_unit.ended_by_restart(self.unit)

    # What is in force.

    @abstractmethod
    def in_force(self) -> dict[str, str] | None:
        """Return {handler: the path of its runtime, "" for the engine's own choice}.

        That is what the engine shows for its configuration; None if it cannot be asked.
        """

    def shows(self, handler: Handler) -> bool | None:
        """Tell whether it shows a handler in its configuration, None if it cannot be asked."""
        shown = self.in_force()
        return None if shown is None else shown.get(handler.name) == handler.path

    def problem(self, handler: Handler, facts: Facts) -> str:
        """Return what is wrong with a new registration: by its files, or by its check of them."""
        shown = self.configured()
        if shown is None:
            said = self.complaint()
            return said and f"{self.name} refuses its files: {said}"
        if shown.get(handler.name) == handler.path:
            return ""
        return f"{self.name} does not show the handler {handler.name} in its configuration in force"

    def configured(self) -> Mapping[str, str | None] | None:
        """Return {handler: path} by its files, None if only the running engine tells."""
        return self.in_force()

    @abstractmethod
    def running(self) -> Mapping[str, str | None] | None:
        """Return {handler: path} of the running engine, None if it tells none."""

    @abstractmethod
    def default(self) -> str | None:
        """Return the handler of containers that name none, None if the engine does not say."""

    def has_read(self, text: str, handler: str) -> bool:
        """Tell whether a reload has given it what a text says of a handler and of the default."""
        return False

    @abstractmethod
    def silence(self) -> str:
        """Return why the running engine cannot run containers."""

    @abstractmethod
    def running_version(self) -> str | None:
        """Return the running engine's version, None if it does not tell."""

    # Containers that need us.

    @abstractmethod
    def needing(self, path: Path) -> Iterator[Dependent]:
        """Yield the containers that need the name of the handler PREFIX/bin/HANDLER.

        They need it in this configuration. Raises Unknown.
        """

    @classmethod
    def calling(cls, path: Path) -> Iterator[tuple[str, Dependent]]:
        """Yield (id, container) of those for which PREFIX/bin/HANDLER is called. Raises Unknown.

        Any other is in the ledger until its runtime deletes it.
        """
        yield from ()

    @classmethod
    def of_users(cls, handler: str) -> Iterator[Dependent]:
        """Yield the containers that users started by their own engine through a handler."""
        yield from ()

    # Its default profile.

    def default_files(self) -> list[Path]:
        """Return the files that its default profile is in, if it is not in its program."""
        return []

    # Probe containers: see probe_container.

    def check_probes(self) -> None:  # noqa: B027 - most need nothing
        """Check that the engine has what one needs. Raises EngineError."""

    def prepare_probes(self, directory: Path) -> None:  # noqa: B027 - most need nothing
        """Make what they need; `directory` is empty and root's own. Raises EngineError, OSError."""

    @abstractmethod
    def start_probe(self, probe: Probe, directory: Path) -> Started:
        """Start one, after `prepare_probes` in that directory."""

    @abstractmethod
    def left_probes(self, purpose: str = CANARY) -> list[str]:
        """Return the ids of those that run, or that a killed command left. Raises CallFailed."""

    @abstractmethod
    def remove_probes(self, purpose: str = CANARY) -> None:
        """Remove all of them. Raises CallFailed if any stays."""

    @contextmanager
    def canary(self, handler: str, var: Path) -> Iterator[str]:
        """Run a canary through a handler ("": the default); give its id.

        `var` is root's own directory. Raises EngineError and OSError.
        """
        self.check_probes()
        with tempfile.TemporaryDirectory(prefix="canary-", dir=var) as directory:
            try:
                self.prepare_probes(Path(directory))
                started = self.start_probe(Probe(CANARY, handler), Path(directory))
                if not started.id:
                    raise self.not_started(started.said)
                yield started.id
            finally:
                with suppress(CallFailed):  # no reason to take back what is proved
                    self.remove_probes()

    def leading_to(self, launcher: Path) -> str:
        """Return its handler that leads to a launcher, by name or as a link beside it.

        Raises EngineError if there is none.
        """
        shown = {**(self.in_force() or {}), **(self.running() or {})}
        for handler, path in shown.items():
            if path and Path(path).parent == launcher.parent:
                return handler
        raise EngineError(
            f"{self} has no handler that leads to {launcher}; try: "
            f"runc-wrapctl engine add {self.name} --restart"
        )

    def not_started(self, why: str) -> EngineError:
        """Return the error for a probe container that does not start."""
        return EngineError(f"{self.name} does not start a container: {why}{self.journal}")


def below(path: Path) -> str:
    """Return an absolute path as one below a root."""
    return str(path).lstrip("/")
