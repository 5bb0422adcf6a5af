"""Calling containerd's CRI as the kubelet does: pods, containers, exec, status.

What the kubelet sends (kubernetes:pkg/kubelet/kuberuntime): names, uid and io.kubernetes.* labels,
masked and read-only paths, seccomp Unconfined if the pod sets nothing, and RuntimeDefault for
sandboxes (a test may choose another). Pods use the host's network, which needs no CNI, unless they
have users of their own (hostUsers: false), for whose network see tests/worlds/test_forky.py.
"""

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from harness.engines.cri_client import api
from harness.engines.images import IDLE, REFERENCE
from harness.host.processes import is_not_sealed, wait_until
from harness.kernel import process_status

Answer = TypeVar("Answer")
UNCONFINED, RUNTIME_DEFAULT = "Unconfined", "RuntimeDefault"
# A pod's users: as many as a kubelet gives to each, from a multiple of it.
FIRST_ID, IDS = 10 * 65536, 65536
MASKED = [
    "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
]  # fmt: skip
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


class CriError(AssertionError):
    """A call was refused; the kubelet would put the message into the pod's event."""


@dataclass(frozen=True)
class Pod:
    """A sandbox: its id and the configuration that later calls repeat."""

    id: str
    config: Any

    def annotated(self, annotations: Mapping[str, str]) -> "Pod":
        """Return the same pod with these annotations.

        The kubelet sends a pod's current annotations with each of its containers.
        """
        config = type(self.config)()
        config.CopyFrom(self.config)
        config.annotations.clear()
        config.annotations.update(annotations)
        return Pod(self.id, config)


@dataclass(frozen=True)
class Ask:
    """A test's container; the defaults are those of a pod without security settings."""

    name: str = "main"
    command: Sequence[str] = tuple(IDLE)
    seccomp: str = UNCONFINED
    add: Sequence[str] = ()
    drop: Sequence[str] = ()
    privileged: bool = False
    unmasked: bool = False  # procMount: Unmasked
    annotations: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, Path] = field(default_factory=dict)  # the host's path of each


class Cri:
    """A client of one containerd."""

    def __init__(self, socket: Path, cgroup: str, logs: Path) -> None:
        self.api = api()
        self.cgroup, self.logs = cgroup, logs
        self.channel = self.api.grpc.insecure_channel(f"unix://{socket}")
        self.runtime = self.api.services.RuntimeServiceStub(self.channel)
        self.images = self.api.services.ImageServiceStub(self.channel)

    def call(self, method: str, **fields: Any) -> Any:
        """Call Method(MethodRequest(fields)); a refusal becomes CriError with its details."""
        service = self.images if method.startswith(("Image", "ListImages")) else self.runtime
        request = getattr(self.api.messages, f"{method}Request")(**fields)
        try:
            return getattr(service, method)(request, timeout=240)
        except self.api.grpc.RpcError as error:
            raise CriError(error.details()) from None

    def wait_ready(self) -> None:
        """Wait until CRI answers, and has noticed the image that ctr imported."""

        def has_image() -> bool:
            with contextlib.suppress(CriError):
                return bool(self.call("ImageStatus", image=self.image()).HasField("image"))
            return False

        wait_until(has_image, "CRI and the image")

    def image(self) -> Any:
        """Return the ImageSpec of the test image."""
        return self.api.messages.ImageSpec(image=REFERENCE)

    def profile(self, kind: str) -> Any:
        """Return a SecurityProfile: Unconfined, RuntimeDefault, or Localhost for a path."""
        types = self.api.messages.SecurityProfile
        if kind.startswith("/"):
            return types(profile_type=types.Localhost, localhost_ref=kind)
        return types(profile_type=getattr(types, kind))

    def own_users(self) -> Any:
        """Return the NamespaceOption of hostUsers: false, whose pod has a network of its own."""
        make = self.api.messages
        ids = [make.IDMapping(host_id=FIRST_ID, container_id=0, length=IDS)]
        return make.NamespaceOption(
            network=make.NamespaceMode.POD,
            pid=make.NamespaceMode.CONTAINER,
            userns_options=make.UserNamespace(mode=make.NamespaceMode.POD, uids=ids, gids=ids),
        )

    def has_user_namespaces(self, handler: str) -> bool:
        """Return whether the kubelet may use hostUsers: false with it; it asks this and refuses.

        Source: kubernetes pkg/kubelet/userns/userns_manager.go (GetOrCreateUserNamespaceMappings).
        """
        found = {one.name: one.features for one in self.call("Status").runtime_handlers}
        return bool(found[handler].user_namespaces)

    def has_network(self) -> bool:
        """Return whether pods with a network of their own can be started: a CNI plugin is known."""
        conditions = self.call("Status").status.conditions
        return any(one.status for one in conditions if one.type == "NetworkReady")

    def run_pod(
        self,
        handler: str,
        annotations: Mapping[str, str] | None = None,
        *,
        privileged: bool = False,
        seccomp: str = RUNTIME_DEFAULT,
        namespace: str = "team",
        host_users: bool = True,
        name: str = "",
    ) -> Pod:
        """RunPodSandbox as for a pod of this namespace with a new uid, and a name of its own."""
        make, mode = self.api.messages, self.api.messages.NamespaceMode
        hosts = make.NamespaceOption(network=mode.NODE, pid=mode.CONTAINER)  # hostNetwork: true
        context = make.LinuxSandboxSecurityContext(
            namespace_options=hosts if host_users else self.own_users(),
            privileged=privileged,
            seccomp=self.profile(UNCONFINED if privileged else seccomp),
        )

        def once() -> Pod:
            uid = str(uuid.uuid4())
            named = {"name": name or f"pod-{uid[:8]}", "namespace": namespace, "uid": uid}
            config = make.PodSandboxConfig(
                metadata=make.PodSandboxMetadata(**named),
                log_directory=str(self.logs / uid),
                labels={f"io.kubernetes.pod.{key}": value for key, value in named.items()},
                annotations={"kubernetes.io/config.source": "api", **(annotations or {})},
                linux=make.LinuxPodSandboxConfig(
                    cgroup_parent=_pods_cgroup(self.cgroup, uid), security_context=context
                ),
            )
            answer = self.call("RunPodSandbox", config=config, runtime_handler=handler)
            return Pod(answer.pod_sandbox_id, config)

        return _sealed(once)

    def create(self, pod: Pod, ask: Ask) -> str:
        """CreateContainer; return the container's id."""
        make = self.api.messages
        config = make.ContainerConfig(
            metadata=make.ContainerMetadata(name=ask.name),
            image=self.image(),
            command=ask.command,
            annotations=dict(ask.annotations),
            labels={**pod.config.labels, "io.kubernetes.container.name": ask.name},
            log_path=f"{ask.name}.log",
            mounts=[
                make.Mount(container_path=path, host_path=str(source))
                for path, source in ask.mounts.items()
            ],
            linux=make.LinuxContainerConfig(security_context=self._context(pod, ask)),
        )
        answer = self.call(
            "CreateContainer", pod_sandbox_id=pod.id, config=config, sandbox_config=pod.config
        )
        return str(answer.container_id)

    def _context(self, pod: Pod, ask: Ask) -> Any:
        make = self.api.messages
        masked = not (ask.privileged or ask.unmasked)
        return make.LinuxContainerSecurityContext(
            capabilities=make.Capability(add_capabilities=ask.add, drop_capabilities=ask.drop),
            privileged=ask.privileged,
            namespace_options=pod.config.linux.security_context.namespace_options,
            masked_paths=MASKED if masked else [],
            readonly_paths=READ_ONLY if masked else [],
            seccomp=self.profile(ask.seccomp),
        )

    def start(self, container: str) -> None:
        """StartContainer: this is where the OCI runtime's create runs."""
        self.call("StartContainer", container_id=container)

    def run(self, pod: Pod, ask: Ask) -> str:
        """Create and start; return the id."""
        made: list[str] = []

        def once() -> str:
            for container in made:
                self.remove(container)  # it cannot be started once more, and has the name
            made[:] = [self.create(pod, ask)]
            self.start(made[0])
            return made[0]

        return _sealed(once)

    def seccomp(self, container: str) -> int:
        """Return the Seccomp value of the container's first process."""
        return process_status.seccomp(self.pid(container))

    def started(self, pod: Pod, ask: Ask | None = None) -> int:
        """Create and start; return the Seccomp value of its first process."""
        return self.seccomp(self.run(pod, ask or Ask()))

    def exec(self, container: str, *command: str) -> str:
        """ExecSync, as an exec probe does; return what it printed."""
        asked: Any = {"container_id": container, "cmd": command, "timeout": 60}
        answer = _sealed(lambda: self.call("ExecSync", **asked))
        if answer.exit_code != 0:
            raise CriError(answer.stderr.decode())
        return str(answer.stdout.decode())

    def state(self, container: str) -> str:
        """Return CONTAINER_RUNNING, CONTAINER_EXITED and so on."""
        answer = self.call("ContainerStatus", container_id=container)
        return str(self.api.messages.ContainerState.Name(answer.status.state))

    def pid(self, container: str) -> int:
        """Return the host's pid of the container's first process."""
        answer = self.call("ContainerStatus", container_id=container, verbose=True)
        return int(json.loads(answer.info["info"])["pid"])

    def sandbox_pid(self, pod: Pod) -> int:
        """Return the host's pid of the sandbox container's process."""
        answer = self.call("PodSandboxStatus", pod_sandbox_id=pod.id, verbose=True)
        return int(json.loads(answer.info["info"])["pid"])

    def remove(self, container: str) -> None:
        """StopContainer without grace, RemoveContainer."""
        self.call("StopContainer", container_id=container, timeout=0)
        self.call("RemoveContainer", container_id=container)

    def remove_pod(self, pod_id: str) -> None:
        """StopPodSandbox, RemovePodSandbox: its containers go with it."""
        self.call("StopPodSandbox", pod_sandbox_id=pod_id)
        self.call("RemovePodSandbox", pod_sandbox_id=pod_id)

    def remove_pods(self) -> None:
        """Remove every pod."""
        for pod in self.call("ListPodSandbox").items:
            self.remove_pod(pod.id)

    def close(self) -> None:
        """Remove every remaining pod and close the connection."""
        with contextlib.suppress(CriError):
            self.remove_pods()
        self.channel.close()


def _pods_cgroup(parent: str, uid: str) -> str:
    """Return the path as the kubelet gives it; a slice's name repeats those above it."""
    if not parent.endswith(".slice"):
        return f"{parent}/pod{uid}"
    return f"{parent}/{Path(parent).stem}-pod{uid.replace('-', '_')}.slice"


def _sealed(call: Callable[[], Answer]) -> Answer:
    """Make a call, and repeat it if runc did not even start."""
    try:
        return call()
    except CriError as error:
        if not is_not_sealed(str(error)):
            raise
        return call()


@contextlib.contextmanager
def client(socket: Path, cgroup: str, logs: Path) -> Iterator[Cri]:
    """Connect; create pods beneath this cgroup, and remove all of them at the end.

    containerd makes a directory for each one's logs beneath `logs`.
    """
    speaking = Cri(socket, cgroup, logs)
    try:
        speaking.wait_ready()
        yield speaking
    finally:
        speaking.close()
