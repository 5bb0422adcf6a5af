"""How an engine that has no client but the CRI's is asked for its default: a pod for each request.

So are CRI-O and the containerd that a distribution of Kubernetes brings. The pod's sandbox is
started, as every pod's; the request's container is refused by our launcher, to which the handler
leads. A pod for each, since a kubelet ends pods that it does not know.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from runc_wrap.engines.capture.engine_requests import COMMAND, Engine
from runc_wrap.engines.cri import cri_containers, cri_runtime
from runc_wrap.engines.cri.grpc_call import CallFailed
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import registration_state
from runc_wrap.hotpath.main import CAPTURE

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.engines.cri_engine import CriEngine
    from runc_wrap.node.paths import Places

_POD = "capture"
_TRIES, _PATIENCE = 5, 20.0  # and seconds in which one more is begun


class ByCri(Engine):
    """CRI-O, or the containerd of a distribution."""

    def __init__(
        self, places: Places, directory: Path, found: CriEngine, socket: Path | None = None
    ) -> None:
        super().__init__(places, directory, socket)
        self.name, self.found, self._places = found.name, found, places
        self._at = socket or found.answers_at()

    def running(self) -> str:
        """Return the version of the running engine. Raises EngineError."""
        try:
            return cri_runtime.version(self._at)
        except CallFailed as failure:
            raise EngineError(
                f"{self.found} does not answer: {failure}",
                "one that runs",
                "--socket, if it answers elsewhere",
            ) from failure

    def prepare(self) -> None:
        """See that there is a handler of ours, and the image of sandboxes."""
        self._handler = self._our_handler()
        try:
            self._image = self.found.required_image(self._at)
        except CallFailed as failure:
            raise EngineError(f"{self.found}: {failure}", "an answer", "run it again") from failure

    def request(self, caps: frozenset[str], token: str) -> str:
        """Ask as the module says, a few times: a kubelet, which looks often, may end the pod."""
        variables = {CAPTURE.decode().removesuffix("="): token}
        wish = cri_containers.Wish(_POD, self._image, COMMAND, caps, variables)
        until, record = time.monotonic() + _PATIENCE, self._places.capture / token
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

    def _our_handler(self) -> str:
        """Return a handler of this engine that leads to our launcher. Raises EngineError."""
        ours = (self.name, str(self.found.config))
        for state in registration_state.states(self._places.engines):
            if (state["engine"], state["config"]) == ours and state["handlers"]:
                return registration_state.handlers_of(state)[0].name
        raise EngineError(
            f"{self.found} has no handler that leads to {self.launcher}",
            "one, as CRI takes no runtime by its path",
            f"runc-wrapctl engine add {self.name} --restart",
        )
