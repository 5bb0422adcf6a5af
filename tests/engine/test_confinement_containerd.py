"""containerd: through CRI as the kubelet speaks it, and through ctr.

Every test shows the opposite first, on the bare runtime or without the tested setting. A pod's
author may write any annotation at any time: each is shown where it counts, too.
"""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.containers.block_rules import as_the_kernel_compares, differences, of_bundle
from harness.engines.containerd import CRI_NAMESPACE, Containerd
from harness.engines.cri import RUNTIME_DEFAULT, UNCONFINED, Ask, Cri, CriError
from harness.engines.images import REFERENCE
from harness.kernel import process_status
from harness.kernel.process_status import DISABLED, FILTER, seccomp_in
from harness.node.install import Installed

EACH_RUNTIME = pytest.mark.parametrize(
    ("bare", "wrapped"), [("runc", "wrapped"), ("crun", "wrapped-crun")]
)
SHOW = ("/bin/cat", "/proc/self/status")


@EACH_RUNTIME
def test_a_container_of_a_pod_without_settings_and_its_exec_probes_are_confined(
    cri: Cri, bare: str, wrapped: str
) -> None:
    for handler, expected in ((bare, DISABLED), (wrapped, FILTER)):
        container = cri.run(cri.run_pod(handler), Ask())
        assert cri.seccomp(container) == expected
        assert seccomp_in(cri.exec(container, *SHOW)) == expected


def test_the_injected_block_equals_runtime_default(node: Containerd, cri: Cri) -> None:
    """For each capability: test_builtin_profiles.py."""
    add = ["SYS_ADMIN", "SYS_PTRACE"]
    said_nothing = Ask(add=add)
    asked_for_it = Ask(add=add, seccomp=RUNTIME_DEFAULT)
    assert of_bundle(node.bundle(cri.run(cri.run_pod("runc"), said_nothing))) == {}
    theirs = of_bundle(node.bundle(cri.run(cri.run_pod("runc"), asked_for_it)))
    ours = of_bundle(node.bundle(cri.run(cri.run_pod("wrapped"), said_nothing)))
    assert differences(as_the_kernel_compares(theirs), ours) == []


def test_forty_containers_started_at_once_are_all_confined(cri: Cri) -> None:
    names = [f"main{number}" for number in range(40)]
    bare, wrapped = cri.run_pod("runc"), cri.run_pod("wrapped")
    assert cri.started(bare) == DISABLED
    with ThreadPoolExecutor(len(names)) as pool:
        started_ids = list(pool.map(lambda name: cri.run(wrapped, Ask(name=name)), names))
    assert [cri.seccomp(one) for one in started_ids] == [FILTER] * len(names)


def test_the_sandbox_container_is_confined(cri: Cri) -> None:
    bare = cri.run_pod("runc", seccomp=UNCONFINED)
    assert process_status.seccomp(cri.sandbox_pid(bare)) == DISABLED
    wrapped = cri.run_pod("wrapped", seccomp=UNCONFINED)
    assert process_status.seccomp(cri.sandbox_pid(wrapped)) == FILTER


def test_an_opt_out_which_the_engine_does_not_pass_on_has_no_effect(cri: Cri) -> None:
    opt_out = {"runc-wrap/seccomp": "unconfined"}
    assert cri.started(cri.run_pod("wrapped", opt_out)) == DISABLED
    assert cri.started(cri.run_pod("deaf", opt_out)) == FILTER


@pytest.mark.parametrize("handler", ["wrapped", "deviceless"])
def test_a_privileged_container_is_left_unchanged(cri: Cri, handler: str) -> None:
    """With the host's devices and without."""
    pod = cri.run_pod(handler, privileged=True)
    assert cri.started(pod, Ask(name="plain")) == FILTER
    assert cri.started(pod, Ask(name="root", privileged=True)) == DISABLED


@pytest.mark.parametrize("unmasked", [False, True], ids=["procMount Default", "Unmasked"])
def test_all_capabilities_alone_make_no_container_privileged(cri: Cri, unmasked: bool) -> None:
    everything = Ask(add=["ALL"], unmasked=unmasked)
    assert cri.started(cri.run_pod("runc"), everything) == DISABLED
    assert cri.started(cri.run_pod("wrapped"), everything) == FILTER


def test_a_profile_that_the_engine_wrote_is_kept(node: Containerd, cri: Cri) -> None:
    ask = Ask(seccomp=RUNTIME_DEFAULT, add=["SYS_ADMIN"])
    opt_out = {"runc-wrap/seccomp": "unconfined"}
    bare = cri.run(cri.run_pod("runc"), ask)
    wrapped = cri.run(cri.run_pod("wrapped", opt_out), ask)
    assert of_bundle(node.bundle(wrapped)) == of_bundle(node.bundle(bare))
    assert cri.seccomp(wrapped) == FILTER


def test_only_the_seccomp_block_of_the_config_changes(node: Containerd, cri: Cri) -> None:
    container = cri.run(cri.run_pod("wrapped"), Ask())
    config = json.loads((node.bundle(container) / "config.json").read_text())
    assert config["linux"].pop("seccomp")
    said = node.ctr("containers", "info", container, namespace=CRI_NAMESPACE)
    assert json.loads(said.stdout)["Spec"] == config


def test_a_container_is_stopped_and_deleted(node: Containerd, cri: Cri) -> None:
    container = cri.run(cri.run_pod("wrapped"), Ask())
    pid, bundle = cri.pid(container), node.bundle(container)
    assert process_status.seccomp(pid) == FILTER
    assert bundle.exists()
    cri.remove(container)
    assert not Path(f"/proc/{pid}").exists()
    assert not bundle.exists()
    with pytest.raises(CriError, match="not found"):
        cri.state(container)


def ctr_run(node: Containerd, name: str, *options: str) -> int:
    """`ctr run` a container which prints its status; return the Seccomp value."""
    cgroup = ["--cgroup", f"{node.space.cgroup}/{name}"]
    return seccomp_in(node.ctr("run", "--rm", *cgroup, *options, REFERENCE, name, *SHOW).stdout)


def test_ctr_run_is_confined_and_opts_out(node: Containerd, runtimes: dict[str, Path]) -> None:
    wrapped = ["--runc-binary", str(runtimes["wrapped"])]
    assert ctr_run(node, "bare") == DISABLED
    assert ctr_run(node, "wrapped", *wrapped) == FILTER
    opt_out = ["--annotation", "runc-wrap/seccomp=unconfined"]
    assert ctr_run(node, "out", *wrapped, *opt_out) == DISABLED
    assert ctr_run(node, "privileged", *wrapped, "--privileged") == DISABLED


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


@pytest.mark.parametrize("key", KEYS)
def test_a_pod_opts_out_by_an_annotation_that_it_has_from_the_start_and_not_later(
    cri: Cri, key: str
) -> None:
    opt_out, other = {key: "unconfined"}, {f"{key}.other": "unconfined"}
    late = cri.run_pod("wrapped", other).annotated({**other, **opt_out})
    assert cri.started(late) == FILTER
    assert cri.started(cri.run_pod("wrapped", opt_out)) == DISABLED


def test_the_owner_may_honour_late_opt_outs(cri: Cri) -> None:
    opt_out = {"runc-wrap/seccomp.debugger": "unconfined"}
    for handler, found in (("wrapped", FILTER), ("honours", DISABLED)):
        pod = cri.run_pod(handler)
        assert cri.started(pod) == FILTER
        assert cri.started(pod.annotated(opt_out), Ask(name="debugger")) == found


def test_without_a_usable_sandbox_config_no_opt_out_counts(
    node: Containerd, cri: Cri, installed: Installed
) -> None:
    """Here, as a user could have written it; the other reasons: test_sandbox_annotations."""
    pod = cri.run_pod("wrapped", {OWN: "unconfined"})
    assert cri.started(pod, Ask(name="before")) == DISABLED
    shutil.chown(node.bundle(pod.id) / "config.json", 4242)
    container = cri.run(pod, Ask(name="after"))
    assert cri.seccomp(container) == FILTER
    line = installed.ledger(container)[0]
    assert line["ignored"] == OWN
    assert "was made with it is unknown" in line["reason"]


FORGERIES = [
    pytest.param({OWN: "unconfined"}, id="an opt-out that counts by image"),
    pytest.param({"io.kubernetes.cri.image-name": "exempt.example/x"}, id="a rule by image"),
    pytest.param({}, id="a rule by container"),
]


@pytest.mark.parametrize("annotations", FORGERIES)
def test_a_pod_cannot_forge_the_image_or_the_name_of_its_sandbox(
    cri: Cri, annotations: dict[str, str]
) -> None:
    sandbox = cri.run_pod("open-by-image", {**FORGED, **annotations}, seccomp=UNCONFINED)
    assert process_status.seccomp(cri.sandbox_pid(sandbox)) == FILTER
    assert cri.started(sandbox) == FILTER


def test_a_sandbox_opts_out_if_every_image_may(cri: Cri) -> None:
    """The opposite of the previous test: the annotation does reach the sandbox."""
    sandbox = cri.run_pod("open", {**FORGED, OWN: "unconfined"}, seccomp=UNCONFINED)
    assert process_status.seccomp(cri.sandbox_pid(sandbox)) == DISABLED


def test_a_sandbox_is_known_only_by_its_namespace_and_pod(cri: Cri, installed: Installed) -> None:
    pod = cri.run_pod("open", FORGED, seccomp=UNCONFINED)
    line = installed.ledger(pod.id)[0]
    assert (line["namespace"], line["pod"]) == ("team", pod.config.metadata.name)
    assert (line["container"], line["image"]) == (None, None)


def test_a_pod_cannot_overwrite_containerds_annotations_of_a_container(
    cri: Cri, installed: Installed
) -> None:
    """Every annotation is passed on; containerd's own, which decide, come last."""
    pod = cri.run_pod("open", {**FORGED, "io.kubernetes.cri.sandbox-id": "../x"})
    line = installed.ledger(cri.run(pod, Ask()))[0]
    assert (line["namespace"], line["container"]) == ("team", "main")
    assert "trusted" not in line["image"]
