"""What a transaction asks of an engine: whether it answers, what it knows, and to run a canary.

A canary is a container that asks for no seccomp profile, so that the one it gets is ours (Podman's
has Podman's own, which is kept):

    containerd, CRI-O  a pod on the host's network, by CRI: its sandbox goes through the handler
    Docker             a container of an image of our own, which is loaded and removed again
    Podman             a container of a root file system of our own

Nothing is pulled. Those of a killed command are removed by their names, a pod by its label and
namespace.
"""

from __future__ import annotations

import json
import secrets
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runc_wrap.engines import docker_config, engine_files, engine_query, toml_text
from runc_wrap.engines.canary import idle_image, sandbox_image
from runc_wrap.engines.containerd import generated_config
from runc_wrap.engines.cri import cri_runtime
from runc_wrap.engines.cri.grpc_call import CallFailed
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.kinds import crio_kind, podman_kind
from runc_wrap.engines.transaction import restart_effects
from runc_wrap.host import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runc_wrap.engines.kinds.engine_kind import Installation, Reload

_SHORT, _LONG = 20.0, 60.0  # seconds
_VERSION = "{{.Server.Version}}"
_INFO = "[{{json .DefaultRuntime}},{{json .Runtimes}}]"
# It takes no notice of SIGTERM, after which Podman's `rm` would wait ten seconds.
_RUN = ("run", "--detach", "--network", "none", "--cap-drop", "all", "--stop-signal", "KILL")
# Not by a label, which an image's author could give all containers of it.
_NAME, _DIGITS = "runc-wrap-canary", 16
# Docker then writes no profile, so that ours is injected; Podman would write an opt-out.
_WITHOUT_PROFILE = ("--security-opt", "seccomp=unconfined")


class Access(Protocol):
    """One engine with one configuration; a reason is a sentence, "" for none.

    `version`: of the program on disk, which may have been replaced since the engine was started.
    """

    unit: str
    version: str | None

    def running_version(self) -> str | None:
        """Return the running engine's version, None if it does not tell."""

    def reload(self, *, loses_default: bool) -> Reload:
        """Return what makes it read its configuration again."""

    def refusal(self) -> str:
        """Return why the engine itself would not start with its files."""

    def refusal_of(self, waiting: Mapping[Path, Path]) -> str:
        """Return the same of {file: where its new text waits}, "" if that cannot be asked."""

    def configured(self) -> Mapping[str, str | None] | None:
        """Return {handler: path} by its files, None if only the running engine tells."""

    def silence(self) -> str:
        """Return why the running engine cannot run containers."""

    def lack(self) -> EngineError | None:
        """Return what a canary needs and the engine has not."""

    def running(self) -> Mapping[str, str | None] | None:
        """Return {handler: path} of the running engine, None if it tells none."""

    def default(self) -> str | None:
        """Return the handler of containers that name none, None if it is not told."""

    def ended_by_restart(self) -> str:
        """Return which containers a restart would end."""

    def has_read(self, text: str, handler: str) -> bool:
        """Tell whether the running engine has what a text says of a handler and of the default."""

    @contextmanager
    def canary(self, handler: str) -> Iterator[str]:
        """Run a container through a handler ("": the default); give its id. Raises EngineError."""

    def left_canaries(self) -> list[str]:
        """Return the ids of those that a killed command left. Raises CallFailed."""

    def remove_canaries(self) -> None:
        """Remove all that a killed command left. Raises CallFailed."""


class _Common:
    """What is the same for every engine."""

    def __init__(self, found: Installation, var: Path) -> None:
        self.found, self.var = found, var
        self.unit, self.version = found.unit, found.version

    def reload(self, *, loses_default: bool) -> Reload:
        """Return what makes it read its configuration again."""
        kind = engine_query.KINDS[self.found.engine]
        return kind.reload(self.found, loses_default=loses_default)

    def refusal(self) -> str:
        """Run the engine's own check."""
        command = engine_query.KINDS[self.found.engine].check_command(self.found)
        if command is None:
            return f"{self.found.engine} is not installed, or cannot check {self.found.config}"
        done = program.run(*command, seconds=_SHORT)
        return "" if done.is_well else f"{self.found.engine} refuses its files: {done.said}"

    def refusal_of(self, waiting: Mapping[Path, Path]) -> str:
        """Run it on the main file, where that alone makes the configuration."""
        at = waiting.get(self.found.config.resolve())
        if at is None or not self._stands_alone(at):
            return ""
        command = engine_query.KINDS[self.found.engine].check_command(
            replace(self.found, config=at)
        )
        done = program.run(*command, seconds=_SHORT) if command else None
        if done is None or done.is_well:
            return ""
        said = done.said.replace(str(at), str(self.found.config))
        return f"{self.found.engine} refuses its new file: {said}"

    def lack(self) -> EngineError | None:
        """Return None: it brings its own."""
        return None

    def _stands_alone(self, at: Path) -> bool:
        """Tell whether a file names no others, which would be looked for beside it."""
        del at
        return False

    def ended_by_restart(self) -> str:
        """Return nothing of their own if shims or monitors keep them running."""
        return restart_effects.of_unit(self.unit)

    def configured(self) -> Mapping[str, str | None] | None:
        """Return what the engine shows for its files; None if it writes those when it starts."""
        if self.found.flavour and generated_config.waits_for_start(self.found.config):
            return None
        return engine_query.KINDS[self.found.engine].in_force(self.found)


class ByCri(_Common):
    """containerd and CRI-O."""

    @property
    def socket(self) -> Path:
        """Where it answers."""
        return engine_query.answers_at(self.found)

    def _stands_alone(self, at: Path) -> bool:
        """Ask so of containerd's own file, without imports."""
        if self.found.engine != "containerd" or self.found.flavour:
            return False
        return "imports" not in toml_text.parse(engine_files.read(at) or "", str(at))

    def silence(self) -> str:
        """Return why it does not answer, or is not ready."""
        try:
            return cri_runtime.is_ready(self.socket)
        except CallFailed as failure:
            return str(failure)

    def lack(self) -> EngineError | None:
        """Return that the image of sandboxes is missing, or that nobody tells."""
        try:
            sandbox_image.required(self.found, self.socket)
        except EngineError as why:
            return why
        except CallFailed as failure:
            return _not_started(self.found, str(failure))
        return None

    def running_version(self) -> str | None:
        """Return what it tells."""
        with suppress(CallFailed):
            return cri_runtime.version(self.socket) or None
        return None

    def running(self) -> Mapping[str, str | None] | None:
        """Return what it tells in its status; an older CRI-O tells no handlers."""
        try:
            return cri_runtime.handlers(self.socket) or None
        except CallFailed:
            return None

    @contextmanager
    def canary(self, handler: str) -> Iterator[str]:
        """Run a pod."""
        socket = self.socket
        if why := self.lack():
            raise why
        try:
            yield cri_runtime.run_pod(socket, handler)
            cri_runtime.remove_pods(socket)
        except CallFailed as failure:
            raise _not_started(self.found, str(failure)) from failure

    def default(self) -> str | None:
        """Return what containerd tells in its status; of CRI-O what its files say."""
        if self.found.engine == "crio":
            return crio_kind.default_handler(self.found)
        try:
            return cri_runtime.default_handler(self.socket)
        except CallFailed:
            return None

    def has_read(self, text: str, handler: str) -> bool:
        """Return False: no reload is enough."""
        del text, handler
        return False

    def left_canaries(self) -> list[str]:
        """Return our pods."""
        return cri_runtime.pods(self.socket)

    def remove_canaries(self) -> None:
        """Remove our pods."""
        cri_runtime.remove_pods(self.socket)


class ByCommand(_Common):
    """Docker and Podman, by their own command."""

    @contextmanager
    def canary(self, handler: str) -> Iterator[str]:
        """Run a container."""
        runtime = ["--runtime", handler] if handler else []
        with tempfile.TemporaryDirectory(prefix=f"{_NAME}-", dir=self.var) as directory:
            words = self._words(runtime, Path(directory))
            done = program.run(self.found.engine, *words, seconds=_LONG)
            try:
                if not done.is_well:
                    raise _not_started(self.found, done.said)
                yield done.printed.split()[-1]
            finally:
                with suppress(CallFailed):  # no reason to take back what is proved
                    self.remove_canaries()

    def _words(self, runtime: list[str], directory: Path) -> list[str]:
        raise NotImplementedError

    def silence(self) -> str:
        """Return why `info` fails."""
        done = program.run(self.found.engine, "info", seconds=_SHORT)
        return "" if done.is_well else done.said

    def running(self) -> Mapping[str, str | None] | None:
        """Return what `info` tells."""
        return engine_query.KINDS[self.found.engine].in_force(self.found)

    def remove_canaries(self) -> None:
        """Remove our containers. Raises CallFailed if any stays, or it is not told."""
        if listed := self.left_canaries():
            done = program.run(self.found.engine, "rm", "--force", *listed, seconds=_LONG)
            if self.left_canaries():
                raise CallFailed(f"{self.found.engine} does not remove our canary: {done.said}")

    def left_canaries(self) -> list[str]:
        """Return our containers, by their names."""
        ours = f"name=^{_NAME}-[0-9a-f]{{{_DIGITS}}}$"
        words = ("ps", "--all", "--quiet", "--no-trunc", "--filter", ours)
        done = program.run(self.found.engine, *words, seconds=_SHORT)
        if not done.is_well:
            raise CallFailed(f"{self.found.engine} does not tell its containers: {done.said}")
        return done.printed.split()


class Docker(ByCommand):
    """Docker: `info` tells what the daemon has; of its files it tells only if they are valid."""

    def refusal(self) -> str:
        """Ask a dockerd that can check a file (since 23.0).

        An older one is told by a reload, at which it keeps what it has if the file is refused.
        """
        if self.found.binary and not docker_config.can_validate(self.found.version):
            return ""
        return super().refusal()

    def _stands_alone(self, at: Path) -> bool:
        """Return True: it has one file."""
        del at
        return True

    def running_version(self) -> str | None:
        """Return the daemon's; the client's may be another."""
        done = program.run("docker", "version", "--format", _VERSION, seconds=_SHORT)
        return done.printed.strip() or None if done.is_well else None

    def configured(self) -> None:
        """Return None: `docker info` is the running daemon's."""

    def default(self) -> str | None:
        """Return that of `docker info`."""
        return self._info()[0]

    def has_read(self, text: str, handler: str) -> bool:
        """Compare `docker info` with a text of daemon.json that names both."""
        wanted, (default, runtimes) = json.loads(text), self._info()
        has = default == wanted["default-runtime"]
        return has and (handler in runtimes) == (handler in wanted["runtimes"])

    def ended_by_restart(self) -> str:
        """Return all, unless the running daemon has live-restore."""
        return restart_effects.of_docker()

    def _info(self) -> tuple[str | None, dict[str, Any]]:
        """Return the default runtime and all runtimes, (None, {}) if nothing answers."""
        done = program.run("docker", "info", "--format", _INFO, seconds=_SHORT)
        try:
            default, runtimes = json.loads(done.printed)
            return (str(default) if default else None), dict(runtimes or {})
        except (ValueError, TypeError):
            return None, {}

    def _words(self, runtime: list[str], directory: Path) -> list[str]:
        loaded = program.run("docker", "load", stdin=idle_image.archive(), seconds=_LONG)
        del directory
        if not loaded.is_well:
            raise _not_started(self.found, loaded.said)
        return [*_RUN, *_named(), *_WITHOUT_PROFILE, *runtime, idle_image.REFERENCE]

    def remove_canaries(self) -> None:
        """Remove our containers and our image."""
        super().remove_canaries()
        program.run("docker", "rmi", "--force", idle_image.REFERENCE, seconds=_SHORT)


class Podman(ByCommand):
    """Podman, which reads its files at every command."""

    def running_version(self) -> str | None:
        """Return the program's: nothing else runs."""
        return self.version

    def default(self) -> str | None:
        """Return that of `podman info`."""
        return podman_kind.default_handler(self.found)

    def has_read(self, text: str, handler: str) -> bool:
        """Return True: it has."""
        del text, handler
        return True

    def _words(self, runtime: list[str], directory: Path) -> list[str]:
        idle_image.write_rootfs(directory)
        name = f"/{idle_image.PROGRAM}"
        return [*runtime, *_RUN, *_named(), "--rootfs", str(directory), name]


def _named() -> list[str]:
    return ["--name", f"{_NAME}-{secrets.token_hex(_DIGITS // 2)}"]


def _not_started(found: Installation, why: str) -> EngineError:
    return EngineError(
        f"{found.engine} does not start a container: {why}",
        "a canary that runs",
        f"`journalctl -u {found.unit}`" if found.unit else "the same by hand",
    )


def of(engine: str, config: Path, var: Path) -> Access:
    """Return the access to the engine that reads this configuration. Raises EngineError.

    `var` is the installation's, where Podman's canary has its root file system.
    """
    found = engine_query.installation(engine, config)
    if found.binary is None:
        raise EngineError(
            f"{engine} is not installed", "an engine that runs", "`engine add` without --restart"
        )
    if engine == "docker":
        return Docker(found, var)
    return Podman(found, var) if engine == "podman" else ByCri(found, var)
