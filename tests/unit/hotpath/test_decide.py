"""The decision, as a table: what the config and the command line show, and what follows."""

from __future__ import annotations

from typing import Any

import pytest

from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.decide import Decision, decide
from runc_wrap.hotpath.failure import Refusal
from runc_wrap.hotpath.privileged import CAPABILITIES

Json = dict[str, Any]

POLICY: Json = {
    "default": {"profile": "runtime-default"},
    "runtime_default": {
        "containerd": "containerd@1.7.24",
        "docker": "moby@26.1.5",
        "crio": "crio",
        "podman": "containers-common",
        "buildah": "containers-common",
        "unknown": "containerd@1.7.24",
    },
}
OWN = "runc-wrap/seccomp"
OLD = "seccomp.security.alpha.kubernetes.io/pod"
OLD_OF = "container.seccomp.security.alpha.kubernetes.io/"
CRI = {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "app"}
SHIM = "/run/containerd/io.containerd.runtime.v2.task"
NODE_HAS = frozenset(CAPABILITIES) - {"CAP_SYS_RESOURCE"}


def _decide(
    config: Json, bundle: str = "/b", name: str = "ID", kind: str = "runc", policy: Json = POLICY
) -> Decision:
    called = Invocation("create", {"bundle": bundle}, name)
    return decide(config, called, policy, kind, lambda: NODE_HAS)


def _config(annotations: Json | None = None, **linux: Any) -> Json:
    return {"annotations": annotations, "linux": linux}


def _privileged(*without: str, sys: Json | None = None, **linux: Any) -> Json:
    bounding = sorted(NODE_HAS - set(without))
    sysfs = {"destination": "/sys", "type": "sysfs", "options": ["nosuid", "rw"], **(sys or {})}
    return {
        "linux": linux,
        "mounts": [sysfs],
        "process": {"capabilities": {"bounding": bounding}},
    }


@pytest.mark.parametrize(
    ("config", "action"),
    [
        pytest.param({}, "leave", id="no linux section"),
        pytest.param({"linux": None}, "leave", id="a null linux section"),
        pytest.param({"linux": {}}, "inject", id="an empty linux section"),
        pytest.param(_config(), "inject", id="no seccomp"),
        pytest.param(_config(seccomp=None), "inject", id="null seccomp"),
        pytest.param(_config(seccomp={}), "inject", id="empty seccomp"),
        pytest.param(
            _config(seccomp={"architectures": ["SCMP_ARCH_X86"]}), "inject", id="runc: no profile"
        ),
        pytest.param(_config(seccomp={"defaultAction": "", "syscalls": []}), "inject", id="blank"),
        pytest.param(_config(seccomp={"defaultAction": "SCMP_ACT_ALLOW"}), "keep", id="a profile"),
        pytest.param(_config(seccomp={"syscalls": [{}]}), "keep", id="rules only"),
        pytest.param(_config({OWN: "unconfined"}), "leave", id="opted out"),
        pytest.param(_config({OLD: "unconfined"}), "leave", id="opted out by Kubernetes' old key"),
        pytest.param(
            _config({"io.podman.annotations.seccomp": "unconfined"}), "leave", id="Podman's opt-out"
        ),
        pytest.param(
            _config({"io.podman.annotations.seccomp": "/p.json"}), "inject", id="Podman's path"
        ),
        pytest.param(
            _config({"run.oci.seccomp_bpf_data": "x"}), "inject", id="crun's filter under runc"
        ),
        pytest.param(_config({OWN + ".app": "unconfined", **CRI}), "leave", id="for the container"),
        pytest.param(_config({OWN + ".x": "unconfined", **CRI}), "inject", id="for another one"),
        pytest.param(
            _config({OWN + ".app": "runtime-default", OWN: "unconfined", **CRI}),
            "inject",
            id="the container's key beats the pod's",
        ),
        pytest.param(
            _config({OLD_OF + "app": "runtime/default", OLD: "unconfined", **CRI}),
            "inject",
            id="also among the old keys",
        ),
        pytest.param(
            _config({OWN: "runtime-default", OLD_OF + "app": "unconfined", **CRI}),
            "inject",
            id="our key beats the old ones",
        ),
        pytest.param(_privileged(), "leave", id="privileged, less what the node lacks"),
        pytest.param(_privileged("CAP_SYSLOG"), "inject", id="one capability less"),
        pytest.param(_privileged(maskedPaths=["/x"]), "inject", id="masked paths"),
        pytest.param(_privileged(readonlyPaths=["/x"]), "inject", id="read-only paths"),
        pytest.param(_privileged(sys={"options": ["ro"]}), "inject", id="/sys read-only"),
        pytest.param(_privileged(sys={"destination": "/x"}), "inject", id="no /sys"),
        pytest.param(_privileged(sys={"options": None}), "leave", id="/sys without options"),
        pytest.param(
            _config({"io.podman.annotations.privileged": "TRUE"}), "leave", id="Podman says so"
        ),
        pytest.param(
            _config({"io.kubernetes.cri-o.PrivilegedRuntime": "true"}), "leave", id="CRI-O says so"
        ),
        pytest.param(
            _config({"io.kubernetes.cri.container-type": "sandbox"}), "inject", id="a sandbox"
        ),
    ],
)
def test_what_is_done(config: Json, action: str) -> None:
    decision = _decide(config)
    assert decision.action == action
    assert (decision.profile is not None) == (action == "inject")
    assert decision.reason.endswith(".")


def test_a_ready_made_filter_counts_for_crun() -> None:
    assert _decide(_config({"run.oci.seccomp_bpf_data": "x"}), kind="crun").action == "keep"


@pytest.mark.parametrize(
    ("annotations", "bundle", "name", "profile"),
    [
        pytest.param({}, f"{SHIM}/k8s.io/ID", "ID", "containerd@1.7.24", id="containerd"),
        pytest.param({}, f"{SHIM}/moby/ID", "ID", "moby@26.1.5", id="Docker"),
        pytest.param(
            {"io.container.manager": "libpod"},
            f"{SHIM}/moby/ID",
            "ID",
            "moby@26.1.5",
            id="an annotation does not turn Docker into Podman",
        ),
        pytest.param(
            {"io.container.manager": "libpod"},
            "/s/ID/userdata",
            "ID",
            "containers-common",
            id="Podman",
        ),
        pytest.param({"io.container.manager": "cri-o"}, "/s/ID/userdata", "ID", "crio", id="CRI-O"),
        pytest.param(
            {}, "/var/tmp/buildah12", "buildah-buildah12", "containers-common", id="Buildah"
        ),
        pytest.param(CRI, "/elsewhere", "ID", "containerd@1.7.24", id="containerd, moved"),
        pytest.param({}, "", "ID", "containerd@1.7.24", id="by hand"),
        pytest.param({OWN: "localhost/a/b.json"}, "", "ID", "localhost/a/b.json", id="a file"),
        pytest.param({OLD: "localhost/b.json"}, "", "ID", "localhost/b.json", id="a file, old key"),
        pytest.param({OLD: "docker/default"}, "", "ID", "containerd@1.7.24", id="docker/default"),
        pytest.param(
            {OWN: "runtime-default"}, f"{SHIM}/moby/ID", "ID", "moby@26.1.5", id="asked for"
        ),
    ],
)
def test_which_profile(annotations: Json, bundle: str, name: str, profile: str) -> None:
    assert _decide(_config(annotations), bundle, name).profile == profile


def test_the_owner_names_the_default() -> None:
    policy = {**POLICY, "default": {"profile": "localhost/ours.json"}}
    assert _decide(_config(), policy=policy).profile == "localhost/ours.json"
    asked = _config({OWN: "runtime-default"})
    assert _decide(asked, policy=policy).profile == "containerd@1.7.24"


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"linux": []}, id="linux is a list"),
        pytest.param({"linux": "x"}, id="linux is a string"),
        pytest.param(_config(seccomp="x"), id="seccomp is a string"),
        pytest.param(_config(seccomp=[]), id="seccomp is a list"),
        pytest.param({"linux": {}, "annotations": []}, id="annotations are a list"),
        pytest.param(_config({"a": 1}), id="an annotation is a number"),
        pytest.param(_config({OWN: "runtime/default"}), id="an old value under our key"),
        pytest.param(_config({OWN: "Unconfined"}), id="a value in the wrong case"),
        pytest.param(_config({OWN: ""}), id="an empty value"),
        pytest.param(_config({OLD: "typo"}), id="an unknown value under an old key"),
    ],
)
def test_what_is_refused(config: Json) -> None:
    with pytest.raises(Refusal):
        _decide(config)
