"""What containerd and CRI-O have in common: they serve pods by Kubernetes' CRI."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from runc_wrap.engines import toml_text
from runc_wrap.engines.cri import cri_runtime
from runc_wrap.engines.engine_class import Engine
from runc_wrap.engines.handler import CallFailed, EngineError
from runc_wrap.engines.probe_container import CANARY, Probe, Started
from runc_wrap.host import program


class CriEngine(Engine):
    """See Engine."""

    has_runtime_classes: ClassVar[bool] = True

    def printed(self) -> str | None:
        """Return the configuration in force as its own check prints it; None if that fails."""
        command = self.check_command()
        return program.output(*command) if command else None

    def dump(self) -> toml_text.Table | None:
        """Return the same, including imports; None if it prints none."""
        printed = self.printed()
        return None if printed is None else toml_text.document(printed)

    @abstractmethod
    def answers_at(self) -> Path:
        """Return its socket, as its own files say."""

    def where(self) -> Path:
        """Return the socket that somebody named, otherwise the one in its files."""
        return self.named_socket or self.answers_at()

    @abstractmethod
    def sandbox_image(self) -> str:
        """Return the image of pods' sandboxes, "" if it does not print it."""

    def silence(self) -> str:
        """Return why it does not answer, or is not ready."""
        try:
            return cri_runtime.is_ready(self.where())
        except CallFailed as failure:
            return str(failure)

    def running_version(self) -> str | None:
        """Return what it tells."""
        with suppress(CallFailed):
            return cri_runtime.version(self.where()) or None
        return None

    def running(self) -> Mapping[str, str | None] | None:
        """Return what it tells in its status; an older CRI-O tells no handlers."""
        with suppress(CallFailed):
            return cri_runtime.handlers(self.where()) or None
        return None

    def check_probes(self) -> None:
        """Check that it has the image of sandboxes, and answers."""
        try:
            self.required_image(self.where())
        except CallFailed as failure:
            raise self.not_started(str(failure)) from None

    def required_image(self, socket: Path) -> str:
        """Return the image of sandboxes, which RunPodSandbox would pull if it were not there.

        Raises EngineError if the engine has it not, and CallFailed.
        """
        name = self.sandbox_image()
        if not name:
            raise EngineError(
                f"{self.name} does not print which image sandboxes have, and nothing is pulled; "
                f"try: name it in {self.config}"
            )
        if not cri_runtime.has_image(socket, name):
            raise EngineError(
                f"{self.name} has no image {name} for pods' sandboxes, and nothing is pulled; try: "
                f"`crictl pull {name}`, or with containerd alone "
                f"`ctr --address {socket} --namespace k8s.io images pull {name}`"
            )
        return name

    def start_probe(self, probe: Probe, directory: Path) -> Started:
        """Start a pod on the host's network, whose sandbox goes through the handler.

        A request is a container in it, and its pod ends with it: a kubelet would end it, too.
        """
        at = self.where()
        try:
            pod = cri_runtime.start_pod(at, probe.handler, probe.purpose)
            if probe.token:
                cri_runtime.start_container(at, pod, probe, self.required_image(at))
        except CallFailed as failure:
            return Started("", str(failure))
        finally:
            if probe.token:
                with suppress(CallFailed):  # the next request tries it again
                    self.remove_probes(probe.purpose)
        return Started(pod[0])

    def left_probes(self, purpose: str = CANARY) -> list[str]:
        """Return our pods."""
        return cri_runtime.pods(self.where(), purpose)

    def remove_probes(self, purpose: str = CANARY) -> None:
        """Remove our pods."""
        cri_runtime.remove_pods(self.where(), purpose)
