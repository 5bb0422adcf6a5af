"""Which pods are removed as canaries: none that a pod's author can make look like one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.node.engines.cri import cri_runtime, grpc_call
from runc_wrap.node.engines.cri.protobuf_wire import fields, inner, message, texts

if TYPE_CHECKING:
    import pytest

PODS = {  # id: labels, as the kubelet or a canary's maker writes them
    "canary": {"runc-wrap/canary": "1", "io.kubernetes.pod.namespace": "runc-wrap"},
    "pretending": {"runc-wrap/canary": "1", "io.kubernetes.pod.namespace": "team"},
    "other": {"io.kubernetes.pod.namespace": "runc-wrap"},
}


def test_a_pod_with_the_canarys_label_in_another_namespace_is_not_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    removed: list[bytes] = []

    def call(_: Path, method: str, request: bytes, __: float) -> bytes:
        if not method.endswith("/ListPodSandbox"):
            removed.append(request)
            return b""
        (asked,) = inner(fields(request), 1)
        wanted = texts(asked, 3).items()
        found = (name for name, labels in PODS.items() if wanted <= labels.items())
        return b"".join(message({1: message({1: name})}) for name in found)

    monkeypatch.setattr(grpc_call, "call", call)
    cri_runtime.remove_pods(Path("/run/none.sock"))
    assert removed == [message({1: "canary"})] * 2
