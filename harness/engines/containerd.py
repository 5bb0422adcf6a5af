"""A containerd for one test: its directories, its socket, its handlers, its CRI plugin.

The configuration is version 2 (containerd 1.x), as an administrator writes it. It runs in a private
mount namespace, so no mount outlives it.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.engines.cri import Cri, client
from harness.engines.images import REFERENCE
from harness.host.namespaces import MountNamespace, private_mounts
from harness.host.processes import Daemon, Run, attempt, run
from harness.node.requirements import program, requires

UNUSED = ("aufs", "btrfs", "devmapper", "zfs", "blockfile")
CRI_NAMESPACE = "k8s.io"
SMALL = "32m"  # of the state directory, where bundles are; on a node it is /run, a tmpfs too
PASSED_ON = (
    "runc-wrap/*",
    "seccomp.security.alpha.kubernetes.io/*",
    "container.seccomp.security.alpha.kubernetes.io/*",
)


@dataclass(frozen=True)
class Handler:
    """A runtime handler: the OCI runtime's absolute path and the pod annotations passed on."""

    binary: Path | str
    pod_annotations: Sequence[str] = PASSED_ON
    without_host_devices: bool = False  # privileged_without_host_devices
    options: Mapping[str, str | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Containerd:
    """A running one."""

    directory: Path
    daemon: Daemon
    space: MountNamespace

    @property
    def socket(self) -> Path:
        """Return the socket for ctr and CRI."""
        return self.directory / "c.sock"

    @property
    def config(self) -> Path:
        """Return its configuration, which it reads when it starts."""
        return self.directory / "config.toml"

    def restart(self) -> None:
        """Start it again; its shims, and so its containers, stay."""
        self.daemon.restart()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it answers ctr."""

        def answers() -> bool:
            there = self.space.inside(self.socket).exists()
            return there and self.try_ctr("version").returncode == 0

        self.daemon.wait_ready(answers, "containerd")

    @contextlib.contextmanager
    def kubelet(self) -> Iterator[Cri]:
        """Call it as a kubelet does; the pods end with that."""
        socket = self.space.inside(self.socket)
        with client(socket, self.space.cgroup, self.directory / "logs") as cri:
            yield cri

    def ctr(self, *words: str | Path, namespace: str = "default") -> Run:
        """Run ctr and insist on success."""
        return run(self._ctr(namespace, words), again=lambda: self._again(namespace, words))

    def try_ctr(self, *words: str | Path, namespace: str = "default") -> Run:
        """Run ctr; a failure is returned."""
        return attempt(self._ctr(namespace, words), again=lambda: self._again(namespace, words))

    def bundle(self, container: str, namespace: str = CRI_NAMESPACE) -> Path:
        """Return the host's path of a running container's bundle."""
        task = self.directory / "state/io.containerd.runtime.v2.task" / namespace / container
        return self.space.inside(task)

    def load(self, archive: Path, namespace: str = "default") -> None:
        """Import an image archive into one namespace (CRI's is k8s.io)."""
        self.ctr("images", "import", archive, namespace=namespace)

    def _again(self, namespace: str, words: Sequence[str | Path]) -> list[str | Path]:
        """Remove the container that runc could not start, which has the name; run it again."""
        if words[0] == "run":
            tasks = self.ctr("tasks", "list", "--quiet", namespace=namespace).stdout.split()
            made = self.ctr("containers", "list", "--quiet", namespace=namespace).stdout.split()
            for container in set(made) - set(tasks):
                self.ctr("containers", "delete", container, namespace=namespace)
        return self._ctr(namespace, words)

    def _ctr(self, namespace: str, words: Sequence[str | Path]) -> list[str | Path]:
        where = ["--address", str(self.socket), "--namespace", namespace]
        return [*self.space.prefix, program("ctr"), *where, *words]


@contextlib.contextmanager
def containerd(directory: Path, handlers: Mapping[str, Handler]) -> Iterator[Containerd]:
    """Run containerd in `directory` (a short path) with these handlers and always `runc`."""
    requires("containerd", "ctr", "containerd-shim-runc-v2", "runc", "unshare", root=True)
    config = directory / "config.toml"
    config.write_text(configuration(directory, {"runc": Handler(program("runc")), **handlers}))
    with private_mounts(directory, {directory / "state": SMALL}) as space:
        argv = [*space.prefix, program("containerd"), "-c", str(config)]
        with Daemon(argv, directory / "containerd.log") as daemon:
            engine = Containerd(directory, daemon, space)
            engine.wait_ready()
            yield engine


def configuration(directory: Path, handlers: Mapping[str, Handler]) -> str:
    """Return config.toml, every path beneath `directory`, no network plugin needed."""
    disabled = [f"io.containerd.snapshotter.v1.{name}" for name in UNUSED]
    head = f"""version = 2
root = "{directory}/root"
state = "{directory}/state"
disabled_plugins = {json.dumps(disabled)}
[grpc]
  address = "{directory}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{directory}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{REFERENCE}"
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{directory}/cni/bin"
  conf_dir = "{directory}/cni/conf"
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"
"""
    return head + "".join(_handler(name, handler) for name, handler in handlers.items())


def _handler(name: str, handler: Handler) -> str:
    table = f'plugins."io.containerd.grpc.v1.cri".containerd.runtimes."{name}"'
    options = {"BinaryName": str(handler.binary), **handler.options}
    lines = [f"  {key} = {json.dumps(value)}\n" for key, value in options.items()]
    return (
        f'[{table}]\n  runtime_type = "io.containerd.runc.v2"\n'
        f"  pod_annotations = {json.dumps(list(handler.pod_annotations))}\n"
        f"  privileged_without_host_devices = {json.dumps(handler.without_host_devices)}\n"
        f"[{table}.options]\n{''.join(lines)}"
    )
