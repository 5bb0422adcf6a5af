"""A dockerd for one test: directories, socket, managed containerd, runtimes in daemon.json.

It runs in a private mount namespace and without any network.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.engines.containers import Containers
from harness.engines.images import REFERENCE
from harness.host.namespaces import MountNamespace, private_mounts
from harness.host.processes import Daemon, Run, attempt, environment, run
from harness.node.requirements import program, requires

SMALL = "32m"  # of the exec-root, where bundles are; on a node it is /run, a tmpfs too
ARGUMENTS = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--userland-proxy=false")
_PLACES = """--config-file={0}/daemon.json --data-root={0}/data --exec-root={0}/exec
    --pidfile={0}/dockerd.pid --host=unix://{0}/d.sock"""


@dataclass(frozen=True)
class Docker(Containers):
    """A running dockerd; `docker(...)` calls it."""

    directory: Path
    daemon: Daemon
    space: MountNamespace

    @property
    def socket(self) -> Path:
        """Return its API's socket."""
        return self.directory / "d.sock"

    def docker(self, *words: str | Path) -> Run:
        """Run the docker command and insist on success."""
        return run(self._argv(words), env=self._environment(), again=lambda: self._again(words))

    def try_docker(self, *words: str | Path) -> Run:
        """Run the docker command; a failure is returned."""
        return attempt(self._argv(words), env=self._environment(), again=lambda: self._again(words))

    def start(self, runtime: str, *options: str, command: Sequence[str] = ()) -> str:
        """Start a container of the test's image in the background; return its id."""
        words = ["--detach", "--network", "none", "--runtime", runtime, *options]
        return self.docker("run", *words, REFERENCE, *command).stdout.strip()

    def inspected(self, container: str, field: str) -> str:
        return self.docker("inspect", "--format", f"{{{{.{field}}}}}", container).stdout.strip()

    def bundle(self, container: str) -> Path:
        """Return the host's path of a running container's bundle."""
        full = self.inspected(container, "Id")
        tasks = self.directory / "exec/containerd/daemon/io.containerd.runtime.v2.task/moby"
        return self.space.inside(tasks / full)

    def remove_all(self) -> None:
        """Remove every container."""
        if ids := self.docker("ps", "--all", "--quiet").stdout.split():
            self.docker("rm", "--force", *ids)

    def _again(self, words: tuple[str | Path, ...]) -> list[str | Path]:
        """Remove the container that runc could not start, which has the name; run it again."""
        if words[0] == "run":
            made = self.docker("ps", "--all", "--quiet", "--filter", "status=created").stdout
            self.docker("rm", "--force", *made.split())
        return self._argv(words)

    def _argv(self, words: tuple[str | Path, ...]) -> list[str | Path]:
        return [program("docker"), "--host", f"unix://{self.socket}", *words]

    def _environment(self) -> dict[str, str]:
        return environment(DOCKER_CONFIG=str(self.directory / "client"))


@contextlib.contextmanager
def dockerd(directory: Path, runtimes: Mapping[str, Path | str]) -> Iterator[Docker]:
    """Run dockerd in `directory` (a short path) with these runtimes, name to path.

    Its default seccomp profile is `unconfined`.
    """
    requires("dockerd", "docker", "containerd", "containerd-shim-runc-v2", "runc", root=True)
    with private_mounts(directory, {directory / "exec": SMALL}) as space:
        document = {
            "runtimes": {name: {"path": str(path)} for name, path in runtimes.items()},
            "cgroup-parent": space.cgroup,
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "seccomp-profile": "unconfined",
        }
        (directory / "daemon.json").write_text(json.dumps(document))
        places = _PLACES.format(directory).split()
        command = [*space.prefix, program("dockerd"), *ARGUMENTS, *places]
        engine = Docker(directory, Daemon(command, directory / "dockerd.log"), space)
        try:
            engine.daemon.wait_ready(
                lambda: engine.socket.exists() and engine.try_docker("version").returncode == 0,
                "dockerd",
            )
            yield engine
        finally:
            with contextlib.suppress(AssertionError):
                engine.remove_all()
            engine.daemon.stop()
