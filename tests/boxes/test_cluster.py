"""The DaemonSet's pod on a node, from its first start to its removal: installed, killed, refused.

`podman kube play` runs it, beside the containerd that it changes; the API server is a stand-in on
the node. The pod is the overlay's own (tests/kubernetes/installer_pod). What a kubelet does for a
pod and Podman does not: it asks no readiness probe (it is asked here), and brings no changed
ConfigMap into a pod that runs (a policy comes with a new pod, as in a roll-out). Priority,
tolerations and account mean nothing to it.

The tests are the steps of one node's life, in order.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engines.cri import Cri
from harness.host.processes import short_directory
from harness.kernel.process_status import DISABLED, FILTER, parse_status, seccomp_in
from harness.node import archive
from harness.node.guest import PREFIX, started, wait
from harness.node.requirements import requires
from runc_wrap.cluster.host_commands.step_commands import STEPS
from runc_wrap.cluster.node_object import AGAIN, INSTALLED, READY, VERSION
from tests.boxes import cluster_node
from tests.boxes.box import box
from tests.boxes.cluster_node import CONFIG, INSTALLER, METRICS, ClusterNode

AUDIT, ENFORCE, UNINSTALL = "overlays/audit", "overlays/enforce", "overlays/uninstall"
MODE, SENT = "conf.d/0-mode.toml", f"{PREFIX}/var/cluster/policy/current"
IS_READY = f"podman exec {INSTALLER} /installer/is-ready | grep -qx ready"
_RIGHTS = """
pid=$(podman inspect --format '{{.State.Pid}}' "$1")
cat /proc/$pid/status
awk '{print "mount " $5 ": " substr($6, 1, 2)}' /proc/$pid/mountinfo
"""


def _runs(step: str) -> str:
    return f"[ -e /run/systemd/transient/runc-wrap-cluster-{step}-*.service ]"


# When the pod is killed, or the power fails, in the order in which it comes there.
POWER = "the power fails while the engine is changed"
_CHANGED = f"grep -q {PREFIX} {CONFIG}"
_NOT_OVER = f"ls {PREFIX}/var/changes/*.json"
INSTALLING = {
    "laying down the archive": f"[ -e {PREFIX}/var/cluster/archive-*.new ]",
    **{step: _runs(step) for step in ("preflight", "install", "apply", "status")},
    POWER: f"{_CHANGED} && {_NOT_OVER}",
    "register": _runs("register"),
    "the engine is changed, nobody was told": _CHANGED,
}
ROLLING_OVER = {"prove": _runs("prove")}
NEXT = "0.2.1"
REMOVING = {step: _runs(step) for step in ("remaining", "unregister", "uninstall")}


@pytest.fixture(scope="module")
def image(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installer's, of the archive that the other tests install."""
    requires("buildah", "kubectl", "openssl", root=True)
    return archive.build_image(release.parent, tmp_path_factory.mktemp("installer"), "amd64")


@pytest.fixture(scope="module")
def next_image(release: Path, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installer's of another version: the same program under another name."""
    del image  # what it needs
    packed = archive.as_version(release, NEXT, tmp_path_factory.mktemp("next") / "archive")
    return archive.build_image(packed.parent, tmp_path_factory.mktemp("next-installer"), "amd64")


@pytest.fixture(scope="module")
def node(
    image: Path, busybox: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterNode]:
    """A machine of its own, on which nothing of runc-wrap ever was; no pod runs there yet."""
    with short_directory("boxc") as directory, box(directory, busybox) as machine:
        yield cluster_node.prepared(machine, image, tmp_path_factory.mktemp("node"))


def _seccomp(node: ClusterNode, pid: int) -> int:
    return seccomp_in(node.machine.sh(f"cat /proc/{pid}/status"))


def test_the_pod_is_killed_at_each_step_that_there_is() -> None:
    assert {*INSTALLING, *ROLLING_OVER, *REMOVING} >= {*STEPS}


@pytest.mark.parametrize("step", INSTALLING)
def test_what_is_ended_at_a_step_leaves_the_engine_whole(node: ClusterNode, step: str) -> None:
    """What a killed pod has begun ends without it, what a power failure ends the boot takes back.

    The next pod goes on from there.
    """
    node.play(AUDIT)
    if step == POWER:
        node.cut_power(INSTALLING[step])
    else:
        node.kill(INSTALLING[step])
    node.settle()
    assert step != POWER or len(node.configs) == 1  # as before
    assert not node.metadata().get("labels")


def test_it_goes_on_to_the_end_and_tells_the_cluster(node: ClusterNode) -> None:
    node.start()
    node.wait_state("ready")
    node.settle()
    assert len(node.configs) == 2  # as before, and as now; none in between
    assert node.metadata()["labels"] == {INSTALLED: "true", READY: "true", VERSION: "0.2.0"}
    node.wait_event("Installed", "a canary of containerd")
    node.until(IS_READY)


def _rights(node: ClusterNode, container: str) -> dict[str, str]:
    """Return the status of a container's process, and how each of its mounts is."""
    process = parse_status(node.machine.sh(_RIGHTS, container))
    found = [int(process[name], 16) for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")]
    assert found == [0, 0, 1, FILTER]
    return process


def test_the_pod_has_no_more_rights_than_it_asks_for(node: ClusterNode) -> None:
    """Root without a capability, in a root that is read-only, as is the way to systemd's socket."""
    process = _rights(node, INSTALLER)
    mounts = [process[f"mount {name}"] for name in ("/", "/host/systemd", PREFIX)]
    assert mounts == ["ro", "ro", "rw"]


def test_the_container_for_metrics_has_less(node: ClusterNode) -> None:
    node.play(AUDIT, components=["metrics"])
    process = _rights(node, METRICS)
    mounts = [process[f"mount {name}"] for name in ("/", "/host/metrics", "/run/runc-wrap")]
    assert mounts == ["ro"] * 3
    for name in ("/host/systemd", PREFIX, "/var/run/secrets/kubernetes.io/serviceaccount"):
        assert f"mount {name}" not in process
        assert f"mount {name}" in _rights(node, INSTALLER)


def test_a_scrape_of_the_pod_has_the_agents_metrics_and_the_installers_state(
    node: ClusterNode, cri: Cri
) -> None:
    started(cri, "runc-wrap")
    node.machine.sh(f"{PREFIX}/bin/runc-wrapctl metrics")  # the agent writes every half minute
    for line in (
        'runc_wrap_node_state{state="ready"} 1.0',
        "runc_wrap_agent_up 1.0",
        'runc_wrap_build_info{version="0.2.0"} 1.0',
    ):
        wait(lambda line=line: f"\n{line}\n" in node.metrics(), line)  # type: ignore[misc]  # bound now
    found = node.metrics()
    decided = re.findall(r"\nrunc_wrap_decisions_total\{.*engine=\"containerd\".*\} (\S+)", found)
    assert sum(map(float, decided)) >= 1


def test_a_pod_through_the_handler_is_confined_and_another_not(node: ClusterNode, cri: Cri) -> None:
    for other in ("runc", ""):  # without a name: the engine's default is not ours
        assert _seccomp(node, started(cri, other)) == DISABLED
    assert _seccomp(node, started(cri, "runc-wrap")) == FILTER
    assert node.decision() == ("inject", "audit")


def test_a_policy_comes_with_a_new_pod_that_restarts_no_engine(node: ClusterNode, cri: Cri) -> None:
    since, before = node.engine_start(), node.state()
    node.play(ENFORCE, "# nothing but the overlay's mode\n")
    node.until(f"grep -q enforce {SENT}/{MODE} && grep -q nothing {SENT}/config.toml")
    node.wait_event("PolicyApplied", "policy ")
    node.wait_state("ready", other_than=before)
    started(cri, "runc-wrap")
    assert node.decision() == ("inject", "enforce")
    assert node.engine_start() == since


# A ConfigMap has at most 1 MiB.
REFUSED = {
    "two modes": ('[default]\nmode = "audit"\n', "config.toml sets default.mode, and so does the"),
    "a typo": ('[defualt]\nmode = "audit"\n', "config.toml:1: defualt is not a setting"),
    "1 MB": (
        "".join(f'[[rule]]\nname = "r{at}"\nmode = "audit"\n' for at in range(26000)),
        "there are 26000 rules, and at most 1000 are taken",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_policy_leaves_the_one_before(node: ClusterNode, cri: Cri, name: str) -> None:
    policy, why = REFUSED[name]
    node.play(AUDIT, policy)
    node.wait_event("PolicyRefused", why)
    node.wait_state("policy-refused")
    assert node.metadata()["labels"][READY] == "true"
    started(cri, "runc-wrap")
    assert node.decision() == ("inject", "enforce")


def test_what_the_plugin_asks_of_a_node_its_pod_answers(node: ClusterNode) -> None:
    """By the host's systemd, which sees the containers; the pod itself does not."""
    report = node.asked("report")
    assert report["node"] == cluster_node.NODE
    assert [one["container"] for one in report["workloads"]]
    answer = node.asked(
        "check-policy", json.dumps({"config.toml": "", MODE: '[default]\nmode = "off"\n'})
    )
    assert (answer["node"], answer["refused"]) == (cluster_node.NODE, None)
    assert answer["changed"] >= 1
    answer = node.asked("check-policy", json.dumps({"config.toml": "[defualt]"}))
    assert "defualt" in answer["refused"]
    state = node.asked("state")
    assert state["state"] == "policy-refused"  # by the test before
    assert state["engine"].startswith("containerd ")


def test_a_handler_that_somebody_took_out_comes_back_when_a_person_asks(node: ClusterNode) -> None:
    """As configuration management does, which renders the engine's file anew."""
    node.play(ENFORCE)
    node.wait_state("ready")
    since = node.engine_start()
    node.machine.sh(f"cp {cluster_node.ORIGINAL} {CONFIG}")
    node.kill()  # and a new pod does not do it by itself
    node.start()
    node.wait_state("edited")
    assert node.engine_start() == since
    node.annotate(AGAIN)
    node.wait_state("ready")
    assert node.engine_start() != since
    assert AGAIN not in node.metadata()["annotations"]


def test_another_release_is_proved_without_a_restart_before_the_node_is_ready_with_it(
    node: ClusterNode, cri: Cri, next_image: Path
) -> None:
    since = node.engine_start()
    node.load(next_image)
    node.play(ENFORCE)
    node.kill(ROLLING_OVER["prove"])
    node.settle()
    before = {INSTALLED: "true", READY: "true", VERSION: "0.2.0"}
    assert node.metadata()["labels"] == before
    node.start()
    node.wait_event("Installed", f"runc-wrap {NEXT}: a canary of containerd")
    wait(lambda: node.metadata()["labels"] == {**before, VERSION: NEXT}, "the label")
    assert node.engine_start() == since
    assert _seccomp(node, started(cri, "runc-wrap")) == FILTER


def test_an_upgraded_engine_is_proved_again_without_a_restart(node: ClusterNode, cri: Cri) -> None:
    node.kill()
    # this machine's programs are newer than a box's of Debian 12
    names = ("containerd", "containerd-shim-runc-v2", "ctr")
    version = node.upgrade_engine([Path("/usr/bin") / name for name in names])
    (found,) = node.drift()
    assert f"when runc-wrap was proved, and is {version}; run `engine prove containerd" in found
    since = node.engine_start()
    node.start()
    node.wait_event("Installed", f"a canary of containerd {version} ran")
    node.wait_state("ready")
    assert node.engine_start() == since
    assert node.drift() == []
    assert node.asked("state")["engine"] == f"containerd {version}"
    assert _seccomp(node, started(cri, "runc-wrap")) == FILTER
    assert node.decision()[0] == "inject"


def test_a_removal_waits_for_the_containers_that_need_it(node: ClusterNode, cri: Cri) -> None:
    pid = started(cri, "runc-wrap")
    node.play(UNINSTALL)
    node.kill(REMOVING["remaining"])
    node.settle()
    node.start()
    node.wait_event("NotRemoved", "still started through runc-wrap: team/")
    assert node.state() == "removing"
    assert node.metadata()["labels"] == {INSTALLED: "true"}
    assert _seccomp(node, pid) == FILTER
    assert _seccomp(node, started(cri, "runc-wrap")) == FILTER  # the handler is in force
    cri.remove_pods()
    node.kill(REMOVING["unregister"])
    node.settle()


def test_in_the_end_the_node_is_as_it_was(node: ClusterNode) -> None:
    """Its directory is made for each pod, also for one that comes when all is gone."""
    node.start()
    node.kill(REMOVING["uninstall"])
    node.settle()
    node.play(UNINSTALL)
    node.wait_state("")
    node.wait_event("Removed", "")
    node.machine.sh(f"podman pod rm -f -t 0 {cluster_node.POD}")
    before, after = (set(text.splitlines()) for text in (node.before, node.listing()))
    opt = Path(PREFIX).parent
    assert before ^ after == {f"{made} d 755 root:root" for made in (opt, PREFIX)}
