"""Podman, and Buildah by the same files: they read containers.conf at every command.

`podman info` names the runtime that is chosen, and fails for a name that it does not know.

It stores with a container the runtime that it was started with: a name of its configuration, or a
path that `--runtime` named (5.4.2: `podman inspect` shows it as OCIRuntime).

Each handler has a drop-in in containers.conf.d. `runtime_supports_json` and
`runtime_supports_nocgroup` replace earlier lists (`{append=true}` is newer than Podman 4.x), so
each drop-in repeats the list in force and adds our handlers. Podman reads the key
`runtime_supports_nocgroup` and ignores the plural of its manual (tried with 5.4: `podman create
--cgroups=disabled` accepts the runtime only with the former). Source: containers/common pkg/config
(config.go, default.go).
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from runc_wrap.documents.reader import DocumentError, read, record
from runc_wrap.engines import engine_files, probe_container, toml_text
from runc_wrap.engines.client_engine import ClientEngine
from runc_wrap.engines.dependent_container import Dependent, Unknown, leads_to
from runc_wrap.engines.engine_class import LONG, NOTHING, ROOT, SHORT, Reload
from runc_wrap.engines.engine_files import Tree
from runc_wrap.engines.handler import CallFailed, EngineError, Facts, Handler, refuse_taken
from runc_wrap.engines.probe_container import CANARY, OWNER, Probe, Started
from runc_wrap.host import engine_names, program
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.node import installed_programs
from runc_wrap.node.container_state import container_processes, users_containers
from runc_wrap.profiles.json_profiles import profile_files

_VENDOR = Path("/usr/share/containers/containers.conf")
_BUILT_IN = {
    "runtime_supports_json": ["crun", "runc", "kata", "runsc", "youki", "krun", "ocijail"],
    "runtime_supports_nocgroup": ["crun", "krun"],
}
_STORAGE = "/var/lib/containers/storage"
_STORAGE_FILES = (Path("/etc/containers/storage.conf"), Path("/usr/share/containers/storage.conf"))
_OF_PODMAN = ("db.sql", "libpod")  # in the storage, once root has used Podman
_OF_ROOT = (0,)
_SERVICE = "podman.service"
_MOST = 50  # drop-ins that runc-wrap wrote
_CHOSEN = ("info", "--format", "{{json .Host.OCIRuntime}}")
_ROOT, _OVERRIDE = "rootfs", "default.conf"
_OF_BUILDAH = f"runc-wrap-{{}}-{OWNER}"


@record
class _Chosen:
    name: str
    path: str = ""


@dataclass(frozen=True)
class Podman(ClientEngine):
    """See Engine. A canary's profile is Podman's own, which is kept."""

    override: Path | None = None

    names = engine_names.PODMAN
    takes_path = True
    reads_itself = "the API service: systemctl restart podman.service"
    usual = Path("/etc/containers/containers.conf")
    usual_socket = Path("/run/podman/podman.sock")
    client = "podman"

    @classmethod
    def detect(cls, root: Path = ROOT) -> list[Self]:
        """Return Podman if it or Buildah is installed."""
        programs = (cls.names.program, engine_names.BUILDAH.program)
        return [cls.at(cls.usual, root)] if any(map(program.locate, programs)) else []

    @classmethod
    def at(cls, config: Path, root: Path = ROOT) -> Self:
        """Return the Podman that reads this configuration; its API service may be a unit."""
        unit = _SERVICE if (root / "usr/lib/systemd/system" / _SERVICE).exists() else ""
        return replace(super().at(config, root), unit=unit)

    def facts(self, version: str | None, prefix: Path) -> Facts:
        """Return {crun: whether it is the real runtime}."""
        return {"crun": installed_programs.runtime_kind(prefix) == "crun"}

    @classmethod
    def render(cls, tree: Tree, config: Path, handlers: list[Handler], facts: Facts) -> None:
        """Put a drop-in for each handler into the drafts."""
        files = engine_files.with_drop_ins(tree, config, handlers, "*.conf")
        if config == cls.usual:
            files = [(_VENDOR, engine_files.table(_VENDOR)), *files]
        engines = [toml_text.lookup(table, ["engine"]) for _, table in files]
        runtimes = (toml_text.lookup(engine, ["runtimes"]) for engine in engines)
        refuse_taken(f"{config} or its drop-ins", handlers, *runtimes)
        names = ["runtime_supports_json", *(["runtime_supports_nocgroup"] if facts["crun"] else [])]
        ours = [handler.name for handler in handlers]
        lists: toml_text.Table = {name: _with(_list(engines, name), ours) for name in names}
        for handler in handlers:
            path = engine_files.drop_in(config, handler)
            engine = {"runtime": handler.name} if handler.default else {}
            body = toml_text.table(["engine"], engine | lists)
            body += toml_text.table(["engine", "runtimes"], {handler.name: [handler.path]})
            tree.put_whole(path, f"runc-wrap: runtime {handler.name}", body)

    def check_command(self) -> list[str] | None:
        """Return `podman info`, which reads every file; None for another than the system's."""
        usual = self.config == self.usual
        return [str(self.binary), "info"] if self.binary and usual else None

    def reload(self, *, loses_default: bool = False) -> Reload:
        """Return none: every command reads the files; the API service is a command, too."""
        return NOTHING

    def in_force(self) -> dict[str, str] | None:
        """Return our handlers and the default as `podman info` shows them."""
        names = engine_files.handlers_of_drop_ins(self.config)[:_MOST]
        known = [each for each in (self._chosen(), *map(self._chosen, names)) if each]
        return dict(known) or None

    def shows(self, handler: Handler) -> bool | None:
        """Ask for the handler by its name."""
        found = self._chosen(handler.name)
        return found and found[1] == handler.path

    def default(self) -> str | None:
        """Return the runtime that a command chooses which names none."""
        shown = self._chosen()
        return shown and shown[0]

    def _chosen(self, handler: str = "") -> tuple[str, str] | None:
        """Return (name, path) of the runtime for a handler, "" for the default.

        None if Podman does not answer, or reads another configuration.
        """
        if self.binary is None or self.config != self.usual:
            return None
        words = ("--runtime", handler) if handler else ()
        info = program.output(str(self.binary), *words, *_CHOSEN)
        try:
            found = read(_Chosen, (info or "").encode())
        except DocumentError:
            return None
        return found.name, found.path

    def running_version(self) -> str | None:
        """Return the program's: nothing else runs."""
        return self.version

    def needing(self, path: Path) -> Iterator[Dependent]:
        """Yield each container that was started with that name, also a stopped one."""
        for runtime, state, name, _ in self._shown():
            if runtime == path.name:
                yield Dependent(self.name, name, state)

    @classmethod
    def calling(cls, path: Path) -> Iterator[tuple[str, Dependent]]:
        """Yield each container that was started with that path, also a stopped one."""
        for runtime, state, name, id_ in cls._shown():
            if runtime.startswith("/") and leads_to(runtime, path):
                yield id_, Dependent(cls.names.name, name, state)

    @classmethod
    def _shown(cls) -> Iterator[list[str]]:
        """Yield runtime, state, name and id of each container of root's Podman. Raises Unknown.

        Podman would make its storage when it is asked, so it is not where it has none.
        """
        if program.locate(cls.client) is None:
            return
        with suppress(EngineError, OSError):  # Podman itself says what is wrong
            place = storage()
            if not any((place / name).exists() for name in _OF_PODMAN):
                return
        rows, is_all = cls.inspected("OCIRuntime", "State.Status", "Name", "Id")
        yield from rows
        if not is_all:
            raise Unknown("`podman ps --all` or `podman inspect` fails")

    @classmethod
    def of_users(cls, handler: str) -> Iterator[Dependent]:
        """Yield what users started by their own Podman, and their runtimes have not deleted.

        A user writes the state and the ledger; only a process of that user shows that it is one.
        """
        for user in users_containers.read(_OF_ROOT):
            for container, decided in user.found:
                is_named = decided is not None and decided.handler == handler
                if is_named and container_processes.is_alive(container):
                    yield Dependent(f"podman of uid {user.uid}", container.id, container.state)

    def default_files(self) -> list[Path]:
        """Return the node's seccomp.json."""
        system = profile_files.system()
        return [Path(system[0])] if system else []

    def prepare_probes(self, directory: Path) -> None:
        """Make a root file system, and a file that leaves a request Podman's own default."""
        (directory / _ROOT).mkdir()
        probe_container.write_rootfs(directory / _ROOT)
        (directory / _OVERRIDE).write_text('[containers]\nseccomp_profile = ""\n')

    def start_probe(self, probe: Probe, directory: Path) -> Started:
        """Run a container; of a request's default no containers.conf of the owner's decides."""
        own = replace(self, override=directory / _OVERRIDE) if probe.token else self
        return super(Podman, own).start_probe(probe, directory)

    def environment(self) -> dict[str, str]:
        """Return the file that comes after the owner's, if there is one."""
        of = {"CONTAINERS_CONF_OVERRIDE": str(self.override)} if self.override else {}
        return {**super().environment(), **of}

    def probe_words(self, probe: Probe, run: list[str], directory: Path) -> list[str]:
        """Return those for a root file system of our own."""
        runtime = ("--runtime", probe.handler) if probe.handler else ()
        root = ("--log-driver", "none", "--rootfs", str(directory / _ROOT))
        return [*runtime, *run, *root, f"/{probe_container.PROGRAM}"]


@dataclass(frozen=True)
class Buildah(Podman):
    """See Engine. It has no registration of its own: it is asked for its default profile only.

    It adds capabilities first, and then drops.
    """

    names = engine_names.BUILDAH
    client = "buildah"

    def probe_words(self, probe: Probe, run: list[str], directory: Path) -> list[str]:
        """Return those for a container made from scratch."""
        name = _OF_BUILDAH.format(probe.purpose)
        self._done("from", "--name", name, "scratch", seconds=LONG)  # or the next command says why
        words = ["run", "--isolation", "oci", "--network", "none", "--runtime", probe.handler]
        words += [f"--cap-add={cap}" for cap in sorted(probe.caps)]
        words += [f"--cap-drop={cap}" for cap in sorted({*CAPABILITIES} - probe.caps)]
        variables = [word for variable in probe.variables for word in ("--env", variable)]
        return [*words, *variables, name, "--", "/none"]

    def left_probes(self, purpose: str = CANARY) -> list[str]:
        """Return our container, by its name."""
        done = self._done("containers", "--format", "{{.ContainerName}}", seconds=SHORT)
        return [name for name in done.printed.split() if name == _OF_BUILDAH.format(purpose)]

    def remove_probes(self, purpose: str = CANARY) -> None:
        """Remove it. Raises CallFailed if it stays."""
        for name in self.left_probes(purpose):
            done = self._done("rm", name, seconds=LONG)
            if not done.is_well:
                raise CallFailed(f"buildah does not remove {name}: {done.said}")


def storage() -> Path:
    """Return the storage, which need not exist. Raises EngineError and OSError."""
    texts = ((path, engine_files.read(path)) for path in _STORAGE_FILES)
    path, text = next((one for one in texts if one[1] is not None), (_STORAGE_FILES[0], ""))
    table = toml_text.lookup(toml_text.parse(text or "", str(path)), ["storage"])
    return Path(str(table.get("graphroot") or _STORAGE))


def _with(listed: list[str], ours: list[str]) -> list[str]:
    return [*listed, *(name for name in ours if name not in listed)]


def _list(engines: list[toml_text.Table], name: str) -> list[str]:
    """Return the list in force: each file's list replaces the one before, or is appended to it.

    `{append = true}` also applies to later files, until one has `{append = false}`.
    """
    result, appending = _BUILT_IN[name], False
    for found in (engine.get(name) for engine in engines):
        if isinstance(found, list):
            words = [each for each in found if isinstance(each, str)]
            flags = [one["append"] for one in found if isinstance(one, dict) and "append" in one]
            appending = bool(flags[-1]) if flags else appending
            result = _with(result, words) if appending else words
    return result
