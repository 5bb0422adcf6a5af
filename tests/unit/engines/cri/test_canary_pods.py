"""A canary's pod: where its cgroup is, and that no pod which a user makes is removed as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runc_wrap.engines.cri import cri_runtime, grpc_call
from runc_wrap.engines.cri.protobuf_wire import fields, inner, message, text, texts
from runc_wrap.engines.probe_container import OWNER

PODS = {  # id: labels, as the kubelet or a canary's maker writes them
    "canary": {"runc-wrap/canary": OWNER, "io.kubernetes.pod.namespace": "runc-wrap"},
    "pretending": {"runc-wrap/canary": OWNER, "io.kubernetes.pod.namespace": "team"},
    "another prefix's": {"runc-wrap/canary": "0a", "io.kubernetes.pod.namespace": "runc-wrap"},
    "other": {"io.kubernetes.pod.namespace": "runc-wrap"},
}


def test_a_pod_of_another_namespace_or_installation_is_not_removed(
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
    cri_runtime.remove_pods(Path("/run/none.sock"), "canary")
    assert removed == [message({1: "canary"})] * 2


def _runtimes(default: str, **options: object) -> dict[str, Any]:
    """Return what containerd tells of its configuration; each handler with its options."""
    made = {name: {"options": each} for name, each in options.items()}
    return {"defaultRuntimeName": default, "runtimes": made}


SYSTEMD, OWN = {"SystemdCgroup": True}, {"SystemdCgroup": False}


@pytest.mark.parametrize(
    ("configured", "handler", "parent"),
    [
        (_runtimes("runc", runc=SYSTEMD, ours=OWN), "", "system.slice"),
        (_runtimes("runc", runc=OWN, ours=SYSTEMD), "ours", "system.slice"),
        (_runtimes("runc", runc=SYSTEMD, ours=OWN), "ours", ""),
        (_runtimes("runc", runc={}), "", ""),
        (_runtimes("runc", runc=None), "", ""),
        (_runtimes("runc", runc=SYSTEMD), "unknown", ""),
        (_runtimes("runc", runc={"SystemdCgroup": "yes"}), "", ""),
        ({"runtimes": []}, "ours", ""),
        ({}, "", ""),
    ],
)
def test_a_canarys_pod_is_in_a_slice_where_cgroups_are_systemds(
    configured: dict[str, Any], handler: str, parent: str
) -> None:
    assert cri_runtime.cgroup_parent(configured, handler) == parent
    pod = fields(cri_runtime._pod("uid", parent, "canary"))  # noqa: SLF001 - what is sent
    assert [text(one, 1) for one in inner(pod, 8)] == [parent]
