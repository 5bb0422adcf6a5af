"""How an engine that has no client but the CRI's is asked for its default: a pod for each request.

So are CRI-O and the containerd that a distribution of Kubernetes brings. The pod's sandbox is
started, as every pod's; the request's container is refused by our launcher, to which the handler
leads. A pod for each, since a kubelet ends pods that it does not know.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from runc_wrap.engines.cri import cri_containers, cri_runtime
from runc_wrap.engines.cri.grpc_call import CallFailed
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.profile_requests import COMMAND, VARIABLE, Requests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runc_wrap.engines.profile_requests import Asked

_POD = "capture"
_TRIES, _PATIENCE = 5, 20.0  # and seconds in which one more is begun


class CriRequests(Requests):
    """See Requests. `image` returns the image of sandboxes, for a socket."""

    def __init__(self, asked: Asked, at: Path, image: Callable[[Path], str]) -> None:
        super().__init__(asked)
        self._at, self._handler = asked.socket or at, asked.handler or ""
        self._find_image = image

    def running(self) -> str:
        """Return the version of the running engine. Raises EngineError."""
        try:
            return cri_runtime.version(self._at)
        except CallFailed as failure:
            raise EngineError(
                f"{self.name} does not answer: {failure}",
                "one that runs",
                "--socket, if it answers elsewhere",
            ) from failure

    def prepare(self) -> None:
        """See that there is a handler of ours, and the image of sandboxes."""
        if not self._handler:
            raise EngineError(
                f"{self.name} has no handler that leads to {self.launcher}",
                "one, as CRI takes no runtime by its path",
                f"runc-wrapctl engine add {self.name} --restart",
            )
        try:
            self._image = self._find_image(self._at)
        except CallFailed as failure:
            raise EngineError(f"{self.name}: {failure}", "an answer", "run it again") from failure

    def request(self, caps: frozenset[str], token: str) -> str:
        """Ask as the module says, a few times: a kubelet, which looks often, may end the pod."""
        variables = {VARIABLE: token}
        wish = cri_containers.Wish(_POD, self._image, COMMAND, caps, variables)
        until, record = time.monotonic() + _PATIENCE, self.directory.parent / token
        for _ in range(_TRIES):
            said = self._once(wish)
            if record.stat().st_size or time.monotonic() > until:
                break
        return said

    def _once(self, wish: cri_containers.Wish) -> str:
        try:
            pod = cri_runtime.start_pod(self._at, self._handler, _POD)
            cri_containers.start(self._at, pod, wish)
        except CallFailed as failure:
            return str(failure)
        finally:
            self._remove_pods()
        return "it started the container"

    def clean(self) -> None:
        """Remove every pod that was made here."""
        self._remove_pods()

    def _remove_pods(self) -> None:
        with contextlib.suppress(CallFailed):  # the next request tries it again
            cri_runtime.remove_pods(self._at, _POD)
