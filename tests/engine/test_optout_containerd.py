"""Opting out through CRI, by a pod's author who may write any annotation at any time.

Every test also shows the opposite: the effect of the same annotation where it counts.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from harness.engines.cri import UNCONFINED, Ask
from harness.kernel import process_status
from harness.kernel.process_status import DISABLED, FILTER

if TYPE_CHECKING:
    from pathlib import Path

    from harness.engines.containerd import Containerd
    from harness.engines.cri import Cri, Pod
    from harness.node.install import Installed

OWN = "runc-wrap/seccomp"
KEYS = [
    OWN,
    "runc-wrap/seccomp.main",
    "seccomp.security.alpha.kubernetes.io/pod",
    "container.seccomp.security.alpha.kubernetes.io/main",
]
FORGED = {
    "io.kubernetes.cri.image-name": "trusted.example/debugger:1",
    "io.kubernetes.cri.container-name": "exempt",
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.sandbox-namespace": "kube-system",
}


def _started(cri: Cri, pod: Pod, ask: Ask | None = None) -> int:
    """Run a container of a pod; return the Seccomp value of its first process."""
    return process_status.seccomp(cri.pid(cri.run(pod, ask or Ask())))


@pytest.mark.parametrize("key", KEYS)
def test_a_pod_opts_out_by_an_annotation_that_it_has_from_the_start_and_not_later(
    cri: Cri, tmp_path: Path, key: str
) -> None:
    opt_out, other = {key: "unconfined"}, {f"{key}.other": "unconfined"}
    late = cri.run_pod("wrapped", tmp_path / "late", other).annotated({**other, **opt_out})
    assert _started(cri, late) == FILTER
    assert _started(cri, cri.run_pod("wrapped", tmp_path / "start", opt_out)) == DISABLED


def test_the_owner_may_honour_late_opt_outs(cri: Cri, tmp_path: Path) -> None:
    opt_out = {"runc-wrap/seccomp.debugger": "unconfined"}
    for handler, found in (("wrapped", FILTER), ("honours", DISABLED)):
        pod = cri.run_pod(handler, tmp_path / handler)
        assert _started(cri, pod) == FILTER
        assert _started(cri, pod.annotated(opt_out), Ask(name="debugger")) == found


def test_without_a_usable_sandbox_config_no_opt_out_counts(
    node: Containerd, cri: Cri, tmp_path: Path, installed: Installed
) -> None:
    """Here, as a user could have written it; the other reasons: test_sandbox_annotations."""
    pod = cri.run_pod("wrapped", tmp_path, {OWN: "unconfined"})
    assert _started(cri, pod, Ask(name="before")) == DISABLED
    shutil.chown(node.bundle(pod.id) / "config.json", 4242)
    container = cri.run(pod, Ask(name="after"))
    assert process_status.seccomp(cri.pid(container)) == FILTER
    line = installed.ledger(container)[0]
    assert line["ignored"] == OWN
    assert "was made with it is unknown" in line["reason"]


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param({OWN: "unconfined"}, id="an opt-out that counts by image"),
        pytest.param({"io.kubernetes.cri.image-name": "exempt.example/x"}, id="a rule by image"),
        pytest.param({}, id="a rule by container"),
    ],
)
def test_a_pod_cannot_forge_the_image_or_the_name_of_its_sandbox(
    cri: Cri, tmp_path: Path, annotations: dict[str, str]
) -> None:
    forged = {**FORGED, **annotations}
    sandbox = cri.run_pod("open-by-image", tmp_path, forged, seccomp=UNCONFINED)
    assert process_status.seccomp(cri.sandbox_pid(sandbox)) == FILTER
    assert _started(cri, sandbox) == FILTER


def test_a_sandbox_opts_out_if_every_image_may(cri: Cri, tmp_path: Path) -> None:
    """The opposite of the previous test: the annotation does reach the sandbox."""
    opt_out = {**FORGED, OWN: "unconfined"}
    sandbox = cri.run_pod("open", tmp_path, opt_out, seccomp=UNCONFINED)
    assert process_status.seccomp(cri.sandbox_pid(sandbox)) == DISABLED


def test_a_sandbox_is_identified_only_by_its_namespace_and_pod(
    cri: Cri, tmp_path: Path, installed: Installed
) -> None:
    pod = cri.run_pod("open", tmp_path, FORGED, seccomp=UNCONFINED)
    line = installed.ledger(pod.id)[0]
    assert (line["namespace"], line["pod"]) == ("team", pod.config.metadata.name)
    assert (line["container"], line["image"]) == (None, None)


def test_a_pod_cannot_overwrite_containerds_annotations_of_a_container(
    cri: Cri, tmp_path: Path, installed: Installed
) -> None:
    """Every annotation is passed on; containerd's own, which decide, come last."""
    pod = cri.run_pod("open", tmp_path, {**FORGED, "io.kubernetes.cri.sandbox-id": "../x"})
    line = installed.ledger(cri.run(pod, Ask()))[0]
    assert (line["namespace"], line["container"]) == ("team", "main")
    assert "trusted" not in line["image"]
