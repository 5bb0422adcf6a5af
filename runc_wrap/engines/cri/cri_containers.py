"""A container by CRI with the engine's own default profile: created, started, and not waited for.

What it has otherwise is what the kubelet sends for a container without settings. Field numbers:
k8s.io/cri-api/pkg/apis/runtime/v1/api.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.engines.cri import grpc_call
from runc_wrap.engines.cri.cri_runtime import malformed_fails_the_call
from runc_wrap.engines.cri.protobuf_wire import fields, message, text
from runc_wrap.engines.probe_container import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runc_wrap.engines.cri.cri_runtime import StartedPod
    from runc_wrap.engines.probe_container import Probe

_RUNTIME = "/runtime.v1.RuntimeService"
_SECONDS = 20.0
_RUNTIME_DEFAULT = b""  # a SecurityProfile whose fields all have their default


@malformed_fails_the_call()
def start(socket: Path, pod: StartedPod, probe: Probe, image: str) -> None:
    """Have a container created in a pod and started; CRI-O calls the runtime to create it first.

    Raises CallFailed, also if the runtime refuses it.
    """
    asked = message({1: pod.id, 2: _container(probe, image), 3: pod.config})
    answer = fields(grpc_call.call(socket, f"{_RUNTIME}/CreateContainer", asked, _SECONDS))
    request = message({1: text(answer, 1)})
    grpc_call.call(socket, f"{_RUNTIME}/StartContainer", request, _SECONDS)


def _container(probe: Probe, image: str) -> bytes:
    # The second is what the pod says, by which CRI-O judges the image if it has a policy for them.
    name, of = message({1: probe.purpose}), message({1: image, 18: image})
    variables = _repeated(
        6, (message({1: name, 2: value}) for name, value in probe.variables.items())
    )
    security = message({1: _exactly(probe.caps), 15: _RUNTIME_DEFAULT})
    head = message({1: name, 2: of, 3: COMMAND})
    return head + variables + message({15: message({2: security})})


def _exactly(caps: frozenset[str]) -> bytes:
    """Return a Capability: all are dropped first, by every engine."""
    added = (name.removeprefix("CAP_") for name in sorted(caps))
    return _repeated(1, added) + message({2: "ALL"})


def _repeated(number: int, values: Iterable[str | bytes]) -> bytes:
    return b"".join(message({number: value}) for value in values)
