"""Docker: daemon.json, which dockerd checks by itself and reads again at SIGHUP.

Its client shows what the running daemon has; of the files dockerd says only whether they are valid.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, TypeVar

from runc_wrap.documents.reader import DocumentError, read, record
from runc_wrap.engines import probe_container
from runc_wrap.engines.client_engine import ClientEngine
from runc_wrap.engines.dependent_container import Dependent, Unknown
from runc_wrap.engines.docker import daemon_json
from runc_wrap.engines.engine_class import LONG, RELOAD, RESTART, SHORT, Reload
from runc_wrap.engines.engine_files import Tree
from runc_wrap.engines.handler import Facts, Handler
from runc_wrap.engines.probe_container import CANARY, Probe
from runc_wrap.host import engine_names

DockerInfo = TypeVar("DockerInfo")
_VERSION = "{{.Server.Version}}"
_INFO = "[{{json .DefaultRuntime}},{{json .Runtimes}}]"
_RUNNING = "[{{json .LiveRestoreEnabled}},{{json .ContainersRunning}},{{json .ContainersPaused}}]"
# Docker then writes no profile, so that ours is injected; Podman would write an opt-out.
_UNCONFINED = "unconfined"


@record
class _Runtime:
    path: str = ""


class Docker(ClientEngine):
    """See Engine."""

    names = engine_names.DOCKER
    usual = Path(daemon_json.CONFIG)
    usual_socket = Path("/run/docker.sock")
    units = ("docker.service",)
    checks_files: ClassVar[bool] = False  # only since 23.0
    client = "docker"
    restart_note = "that ends running containers, unless live-restore is on in daemon.json"

    def check_command(self) -> list[str] | None:
        """Return `dockerd --validate`, in releases since 23.0.

        It refuses `--config-file` for a missing file: the usual place is named only if it has one.
        """
        if self.binary is None or not daemon_json.can_validate(self.version):
            return None
        is_usual = self.config == self.usual and not self.config.exists()
        option = [] if is_usual else [f"--config-file={self.config}"]
        return [str(self.binary), "--validate", *option]

    def refusal(self) -> str:
        """Ask a dockerd that can check a file.

        An older one learns of it at a reload; if it refuses the file it keeps what it has.
        """
        is_old = self.binary and not daemon_json.can_validate(self.version)
        return "" if is_old else super().refusal()

    def stands_alone(self, at: Path) -> bool:
        """Return True: it has one file."""
        return True

    @classmethod
    def render(cls, tree: Tree, config: Path, handlers: list[Handler], facts: Facts) -> None:
        """Put `handlers` into the draft of daemon.json."""
        daemon_json.render(tree, config, handlers)

    without_ours = staticmethod(daemon_json.without_ours)
    states_all = staticmethod(daemon_json.has_runtimes)
    neutral = staticmethod(daemon_json.neutral)

    def reload(self, *, loses_default: bool = False) -> Reload:
        """Return a reload if that is enough.

        It keeps a default runtime that the file does not set any more, and is refused if that
        runtime has gone ("specified default runtime does not exist", 26.1). It also keeps all
        runtimes of a file that has no `runtimes` any more: `loses_default` is for both.
        """
        return RESTART if loses_default else RELOAD

    def ended_by_restart(self) -> str:
        """Return all that run or are paused, unless the running daemon has live-restore."""
        try:
            keeps, running, paused = self._info(tuple[bool, int, int], _RUNNING)
        except DocumentError:
            return "containers that may run, unless live-restore is on"
        count = 0 if keeps else running + paused
        containers = "1 container that runs" if count == 1 else f"{count} containers that run"
        return f"{containers}, as live-restore is off" if count else ""

    def in_force(self) -> dict[str, str] | None:
        """Return the runtimes of the daemon that runs."""
        runtimes = self._runtimes()[1]
        return {name: each.path for name, each in runtimes.items()} or None

    def shows(self, handler: Handler) -> bool | None:
        """Ask the daemon, which reads the usual file."""
        return super().shows(handler) if self.config == self.usual else None

    def configured(self) -> None:
        """Return None: `docker info` is the running daemon's."""

    def default(self) -> str | None:
        """Return what `docker info` says."""
        return self._runtimes()[0]

    def has_read(self, text: str, handler: str) -> bool:
        """Compare `docker info` with a text of daemon.json that names both."""
        wanted, (default, runtimes) = json.loads(text), self._runtimes()
        has = default == wanted["default-runtime"]
        return has and (handler in runtimes) == (handler in wanted["runtimes"])

    def running_version(self) -> str | None:
        """Return the daemon's; the client's may be another."""
        done = self._done("version", "--format", _VERSION, seconds=SHORT)
        return done.printed.strip() or None if done.is_well else None

    def _runtimes(self) -> tuple[str | None, Mapping[str, _Runtime]]:
        """Return the default runtime and all runtimes, (None, {}) if nothing answers."""
        try:
            default, runtimes = self._info(tuple[str | None, dict[str, _Runtime] | None], _INFO)
        except DocumentError:
            return None, {}
        return default or None, runtimes or {}

    def _info(self, kind: type[DockerInfo], wanted: str) -> DockerInfo:
        """Return what `docker info` shows in this form. Raises DocumentError."""
        done = self._done("info", "--format", wanted, seconds=SHORT)
        return read(kind, done.raw if done.is_well else b"")

    def needing(self, path: Path) -> Iterator[Dependent]:
        """Yield each container with that runtime, also a stopped one, which is started by it."""
        shown, is_all = self.inspected("HostConfig.Runtime", "State.Status", "Name")
        for runtime, state, name in shown:
            if runtime == path.name:
                yield Dependent(self.name, name.removeprefix("/"), state)
        if not is_all and self.binary:
            raise Unknown("the Docker daemon does not answer, or not for each container")

    def environment(self) -> dict[str, str]:
        """Return where the daemon answers, if somebody says so."""
        at = {"DOCKER_HOST": f"unix://{self.named_socket}"} if self.named_socket else {}
        return {**super().environment(), **at}

    def prepare_probes(self, directory: Path) -> None:
        """Make an image of our own: another each time, so first the name of a left one goes."""
        self._done("rmi", "--force", probe_container.IMAGE, seconds=SHORT)
        root = probe_container.archive(directory)
        loaded = self._done("import", "-", probe_container.IMAGE, seconds=LONG, stdin=root)
        if not loaded.is_well:
            raise self.not_started(loaded.said)

    def probe_words(self, probe: Probe, run: list[str], directory: Path) -> list[str]:
        """Return those for that image."""
        runtime = ("--runtime", probe.handler) if probe.handler else ()
        profile = "builtin" if probe.token else _UNCONFINED
        words = ("--pull", "never", "--security-opt", f"seccomp={profile}")
        return [*run, *words, *runtime, probe_container.IMAGE, f"/{probe_container.PROGRAM}"]

    def remove_probes(self, purpose: str = CANARY) -> None:
        """Remove our containers and our image."""
        super().remove_probes(purpose)
        self._done("rmi", "--force", probe_container.IMAGE, seconds=SHORT)
