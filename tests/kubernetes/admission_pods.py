"""Pods for the tests of admission, and what this program decides about their containers."""

from __future__ import annotations

from typing import Any

from runc_wrap.hotpath import decision
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.create_facts import Call, CreateFacts
from runc_wrap.hotpath.errors import Refusal

Json = dict[str, Any]

OWN = "runc-wrap/seccomp"
OLD = "seccomp.security.alpha.kubernetes.io/pod"
OLD_OF = "container.seccomp.security.alpha.kubernetes.io/"
MIRROR = {"kubernetes.io/config.mirror": "0123"}
LONGEST = "a" * 63  # of a container's name
_SHIM = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
_DEFAULT = "containerd@2.2.0"
_BROUGHT = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}
_POLICY: Any = {
    "default": {"profile": "runtime-default", "mode": "enforce"},
    "privileged": "leave",
    "opt_out": {"annotations": True, "namespaces": ["*"], "images": ["*"]},
    "rules": [],
    "overlay": None,
    "runtime_default": {"containerd": _DEFAULT},
}


def container(name: str = "app", seccomp: str = "", **more: Any) -> Json:
    """Return a container; `seccomp` is its own seccompProfile.type."""
    return {"name": name, "image": "registry/image", **_security(seccomp), **more}


def pod(*containers: Json, seccomp: str = "", annotations: Json | None = None, **spec: Any) -> Json:
    """Return a Pod. Without `annotations` it has no such map."""
    metadata: Json = {"name": "pod", "namespace": "team"}
    if annotations is not None:
        metadata["annotations"] = annotations
    listed = list(containers or (container(),))
    whole = {"containers": listed, **_security(seccomp), **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole}


def binding(annotations: Json | None = None) -> Json:
    """Return a Binding, which a scheduler creates, and whose annotations its pod gets."""
    metadata = {"name": "pod", **({} if annotations is None else {"annotations": annotations})}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": {"name": "n"}}


def _security(seccomp: str) -> Json:
    return {"securityContext": {"seccompProfile": {"type": seccomp}}} if seccomp else {}


def written(found: Json) -> Json:
    """Return an object's annotations, {} for none."""
    of: Json = found["metadata"].get("annotations", {})
    return of


def each_container(found: Json) -> list[Json]:
    """Return all containers of a pod."""
    kinds = ("containers", "initContainers", "ephemeralContainers")
    return [one for kind in kinds for one in found["spec"].get(kind, [])]


def left(found: Json) -> set[str]:
    """Return the names of the containers that run without a filter."""
    each = each_container(found)
    return {one["name"] for one in each if decided(found, one).action == "leave"}


def escaping(found: Json) -> set[str]:
    """Return the names of the containers that get less than the default, on crun.

    crun has one way more than runc. What is refused does not run.
    """
    return {one["name"] for one in each_container(found) if _escapes(found, one)}


def _escapes(found: Json, of: Json) -> bool:
    try:
        reached = decided(found, of, "crun")
    except Refusal:
        return False
    is_default = reached.declared == decision.OWN_PROFILE or reached.profile == _DEFAULT
    return not is_default


def decided(found: Json, of: Json, kind: str = "runc") -> decision.Decision:
    """Return the decision about a container that containerd creates, with the sandbox as it is.

    Raises Refusal.
    """
    cri = {
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.container-name": of["name"],
        "io.kubernetes.cri.sandbox-namespace": "team",
        "io.kubernetes.cri.sandbox-id": "S1",
    }
    asked = _type(of) or _type(found["spec"])
    brought = {} if asked in ("", "Unconfined") else {"seccomp": _BROUGHT}
    config = {"annotations": {**written(found), **cri}, "linux": brought}
    called = Invocation("create", {"bundle": f"{_SHIM}/C1"}, "C1")
    call = Call(called, kind, "/bin/runc-wrap", lambda: frozenset({"CAP_SYS_ADMIN"}))
    facts = CreateFacts(config, call, "", lambda _bundle, _sandbox: written(found))
    return decision.decide(facts, _POLICY, 0)


def _type(of: Json) -> str:
    kind: str = of.get("securityContext", {}).get("seccompProfile", {}).get("type", "")
    return kind
