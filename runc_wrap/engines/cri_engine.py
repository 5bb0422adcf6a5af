"""What containerd and CRI-O have in common: they serve pods by Kubernetes' CRI.

A canary is a pod on the host's network, whose sandbox goes through the handler.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, ClassVar

from runc_wrap.engines.cri import cri_runtime
from runc_wrap.engines.cri.grpc_call import CallFailed
from runc_wrap.engines.cri_requests import CriRequests
from runc_wrap.engines.engine import Engine
from runc_wrap.engines.handler import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from runc_wrap.engines.profile_requests import Asked, Requests


class CriEngine(Engine):
    """See Engine."""

    has_runtime_classes: ClassVar[bool] = True

    @abstractmethod
    def answers_at(self) -> Path:
        """Return its socket, as its own files say."""

    @abstractmethod
    def sandbox_image(self) -> str:
        """Return the image of pods' sandboxes, "" if it does not print it."""

    def requests(self, asked: Asked) -> Requests:
        """Ask by the CRI."""
        return CriRequests(asked, self.answers_at(), self.required_image)

    def silence(self) -> str:
        """Return why it does not answer, or is not ready."""
        try:
            return cri_runtime.is_ready(self.answers_at())
        except CallFailed as failure:
            return str(failure)

    def running_version(self) -> str | None:
        """Return what it tells."""
        with suppress(CallFailed):
            return cri_runtime.version(self.answers_at()) or None
        return None

    def running(self) -> Mapping[str, str | None] | None:
        """Return what it tells in its status; an older CRI-O tells no handlers."""
        try:
            return cri_runtime.handlers(self.answers_at()) or None
        except CallFailed:
            return None

    def lack(self) -> EngineError | None:
        """Return that the image of sandboxes is missing, or that nobody tells."""
        try:
            self.required_image(self.answers_at())
        except EngineError as why:
            return why
        except CallFailed as failure:
            return self.not_started(str(failure))
        return None

    def required_image(self, socket: Path) -> str:
        """Return the image of sandboxes, which RunPodSandbox would pull if it were not there.

        Raises EngineError if the engine has it not, and CallFailed.
        """
        name = self.sandbox_image()
        if not name:
            raise EngineError(
                f"{self.name} does not print which image the sandboxes of its pods have",
                "its name, since nothing is pulled",
                f"name the image in {self.config}",
            )
        if not cri_runtime.has_image(socket, name):
            raise EngineError(
                f"{self.name} has no image {name} for pods' sandboxes",
                "that image, since nothing is pulled",
                f"`crictl pull {name}`, or with containerd alone "
                f"`ctr --address {socket} --namespace k8s.io images pull {name}`",
            )
        return name

    @contextmanager
    def canary(self, handler: str, var: Path) -> Iterator[str]:
        """Run a pod."""
        del var
        socket = self.answers_at()
        if why := self.lack():
            raise why
        try:
            yield cri_runtime.run_pod(socket, handler)
            cri_runtime.remove_pods(socket)
        except CallFailed as failure:
            raise self.not_started(str(failure)) from failure

    def left_canaries(self) -> list[str]:
        """Return our pods."""
        return cri_runtime.pods(self.answers_at())

    def remove_canaries(self) -> None:
        """Remove our pods."""
        cri_runtime.remove_pods(self.answers_at())
