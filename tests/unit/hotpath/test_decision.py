"""The decision as a table: config and command line, and the result."""

from __future__ import annotations

from typing import Any

import pytest

from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.create_facts import Call, CreateFacts
from runc_wrap.hotpath.decision import Decision, decide
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.privileged import CAPABILITIES

Json = dict[str, Any]

POLICY: Json = {
    "default": {"profile": "runtime-default", "mode": "enforce"},
    "privileged": "leave",
    "opt_out": {"annotations": True, "namespaces": ["*"], "images": ["*"]},
    "rules": [],
    "overlay": None,
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
IMAGE, TYPE = "io.kubernetes.cri.image-name", "io.kubernetes.cri.container-type"
CRIO_NAME, MANAGER = "io.kubernetes.container.name", "io.container.manager"
PODMAN_SAYS = "io.podman.annotations.privileged"
CRIO_SAYS = "io.kubernetes.cri-o.PrivilegedRuntime"
BOUND = {"type": "bind", "options": ["rbind", "ro"]}
CGROUP = {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["rw"]}
ALL_DEVICES = {"devices": [{"allow": True, "access": "rwm"}]}
NO_DEVICES = {"allow": False, "access": "rwm"}
NO_NULL = {"allow": False, "type": "c", "major": 1, "minor": 3, "access": "rwm"}
NODE_HAS = frozenset(CAPABILITIES) - {"CAP_SYS_RESOURCE"}


def _decide(config: Json, bundle: str = "/b", name: str = "ID", **changes: Any) -> Decision:
    """Decide by POLICY with these changes.

    `kind`, `now`, `made_with`, `only` and `pid_file` are no part of it.
    """
    kind, now = changes.pop("kind", "runc"), changes.pop("now", 0)
    made_with = changes.pop("made_with", None)
    called = Invocation("create", {"bundle": bundle, "pid-file": changes.pop("pid_file", "")}, name)
    call = Call(called, kind, "/bin/runc-wrap", lambda: NODE_HAS)

    def sandboxes(_bundle: str, _sandbox: str) -> dict[str, str]:
        if made_with is None:
            raise Refusal("nobody looked.")
        found: dict[str, str] = made_with()
        return found

    facts = CreateFacts(config, call, changes.pop("only", ""), sandboxes)
    policy: Any = {**POLICY, **changes}
    return decide(facts, policy, now)


def _config(annotations: Json | None = None, **linux: Any) -> Json:
    return {"annotations": annotations, "linux": linux}


def _privileged(
    *without: str, sys: Json | None = None, more: list[Json] | None = None, **linux: Any
) -> Json:
    bounding = sorted(NODE_HAS - set(without))
    sysfs = {"destination": "/sys", "type": "sysfs", "options": ["nosuid", "rw"], **(sys or {})}
    return {
        "linux": linux,
        "mounts": [sysfs, *(more or [])],
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
        pytest.param(_privileged(sys={"options": ["ro"]}), "inject", id="sysfs read-only"),
        pytest.param(_privileged(sys={"options": None}), "leave", id="sysfs without options"),
        pytest.param(_privileged(sys={"destination": "/sys/"}), "leave", id="sysfs at /sys/"),
        pytest.param(_privileged(sys=BOUND), "inject", id="/sys bound, and nothing else said"),
        pytest.param(_privileged(sys=BOUND, more=[CGROUP]), "leave", id="/sys bound, cgroups rw"),
        pytest.param(
            _privileged(sys=BOUND, more=[{**CGROUP, "options": ["ro"]}]), "inject", id="cgroups ro"
        ),
        pytest.param(_privileged(sys=BOUND, resources=ALL_DEVICES), "leave", id="all devices"),
        pytest.param(
            _privileged(sys=BOUND, resources={"devices": [NO_DEVICES, *ALL_DEVICES["devices"]]}),
            "leave",
            id="no devices, then all",
        ),
        pytest.param(
            _privileged(sys=BOUND, resources={"devices": [*ALL_DEVICES["devices"], NO_DEVICES]}),
            "inject",
            id="all devices, then none",
        ),
        pytest.param(
            _privileged(sys=BOUND, resources={"devices": [*ALL_DEVICES["devices"], NO_NULL]}),
            "leave",
            id="all devices, then not one of them",
        ),
        pytest.param(_config({PODMAN_SAYS: "TRUE"}), "inject", id="Podman's word from nobody"),
        pytest.param(_config({CRIO_SAYS: "true"}), "inject", id="CRI-O's word from nobody"),
        pytest.param(
            _config({"io.kubernetes.cri.container-type": "sandbox"}), "inject", id="a sandbox"
        ),
    ],
)
def test_each_config_gets_its_decision(config: Json, action: str) -> None:
    decision = _decide(config)
    assert decision.action == action
    assert (decision.profile is not None) == (action == "inject")
    assert decision.reason.endswith(".")


@pytest.mark.parametrize(
    ("annotations", "masked", "action"),
    [
        ({"io.container.manager": "libpod", PODMAN_SAYS: "TRUE"}, [], "leave"),
        ({"io.container.manager": "libpod", PODMAN_SAYS: "TRUE"}, ["/proc/kcore"], "inject"),
        (
            {
                "io.container.manager": "cri-o",
                CRIO_SAYS: "true",
                "io.kubernetes.cri-o.ContainerType": "sandbox",
            },
            [],
            "leave",
        ),
        ({"io.container.manager": "cri-o", CRIO_SAYS: "true"}, [], "inject"),
    ],
)
def test_an_engines_privilege_annotation_counts_where_annotations_do(
    annotations: Json, masked: list[str], action: str
) -> None:
    config = {**_privileged(sys=BOUND, maskedPaths=masked), "annotations": annotations}
    assert _decide(config).action == action
    few = {**_privileged("CAP_SYSLOG", sys=BOUND), "annotations": annotations}
    assert _decide(few).action == "inject"
    narrower: list[Json] = [{"annotations": False}, {"namespaces": ["x"]}, {"images": []}]
    for opt_out in narrower:
        deaf = {**POLICY["opt_out"], **opt_out}
        assert _decide(config, opt_out=deaf).action == "inject"
        assert _decide(config, opt_out=deaf, only="crio").action == "inject"
        assert _decide(_privileged(), opt_out=deaf).action == "leave"


def test_a_precompiled_filter_is_refused_if_the_containers_annotations_do_not_count() -> None:
    nobody = {"annotations": False, "namespaces": ["*"], "images": ["*"]}
    overlay = {"deny": ["mkdir"], "deny_sockets": [], "existing": False}
    for block in (None, {"defaultAction": "SCMP_ACT_ALLOW"}):
        config = _config({"run.oci.seccomp_bpf_data": "x"}, seccomp=block)
        with pytest.raises(Refusal, match="do not count, or"):
            _decide(config, kind="crun", opt_out=nobody)
        with pytest.raises(Refusal, match="an overlay is in force"):
            _decide(config, kind="crun", overlay=overlay)


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
def test_each_annotation_chooses_its_profile(
    annotations: Json, bundle: str, name: str, profile: str
) -> None:
    assert _decide(_config(annotations), bundle, name).profile == profile


SANDBOXED = {**CRI, "io.kubernetes.cri.sandbox-id": "S"}
IN_CRI = f"{SHIM}/k8s.io/ID"
CRUN_KEY = "run.oci.seccomp_bpf_data"
CRIO_IMAGE = {"io.kubernetes.cri-o.ImageName": "trusted/x"}


@pytest.mark.parametrize(
    ("first", "now", "profile", "ignored"),
    [
        pytest.param({OWN: "unconfined"}, {OWN: "unconfined"}, None, None, id="the same"),
        pytest.param({}, {OWN: "unconfined"}, "containerd@1.7.24", OWN, id="it came late"),
        pytest.param({}, {OLD: "unconfined"}, "containerd@1.7.24", OLD, id="an old key, too"),
        pytest.param(
            {OWN: "localhost/a"}, {OWN: "localhost/b"}, "localhost/a", OWN, id="another profile"
        ),
        pytest.param({OWN: "unconfined"}, {OWN: "no word"}, None, OWN, id="nonsense comes late"),
        pytest.param({OWN: "unconfined"}, {}, "containerd@1.7.24", None, id="it was taken away"),
        pytest.param(
            {OLD: "unconfined"}, {OWN: "localhost/b"}, None, OWN, id="a stronger key comes late"
        ),
        pytest.param(
            {OWN: "localhost/a"},
            {OWN: "localhost/a", f"{OWN}.app": "unconfined"},
            "localhost/a",
            f"{OWN}.app",
            id="the container's key comes late",
        ),
        pytest.param(
            {OWN: "unconfined", f"{OWN}.app": "localhost/a"},
            {OWN: "unconfined"},
            "localhost/a",
            OWN,
            id="the container's key was taken away, the pod's opts out",
        ),
    ],
)
def test_the_sandboxs_original_annotations_count(
    first: Json, now: Json, profile: str | None, ignored: str | None
) -> None:
    config = _config({**SANDBOXED, **now})
    decision = _decide(config, IN_CRI, made_with=lambda: first)
    assert (decision.profile, decision.ignored) == (profile, ignored)
    assert decision.action == ("inject" if profile else "leave")
    assert ("were different when its sandbox was made" in decision.reason) == (ignored is not None)


def _never() -> Json:
    raise AssertionError("nobody needs to know")


@pytest.mark.parametrize(
    ("config", "bundle", "changes"),
    [
        pytest.param(_config(SANDBOXED), IN_CRI, {}, id="no annotation asks"),
        pytest.param(
            _config({**SANDBOXED, OWN: "unconfined"}, seccomp={"defaultAction": "SCMP_ACT_LOG"}),
            IN_CRI,
            {},
            id="the profile is its own",
        ),
        pytest.param(
            _config({**SANDBOXED, OWN: "unconfined"}),
            IN_CRI,
            {"opt_out": {"annotations": False, "namespaces": ["*"], "images": ["*"]}},
            id="annotations do not count",
        ),
        pytest.param(
            _config({**SANDBOXED, OWN: "unconfined"}),
            IN_CRI,
            {"opt_out": {**POLICY["opt_out"], "late": "honour"}},
            id="late ones count",
        ),
        pytest.param(_config({**SANDBOXED, OWN: "unconfined"}), "/b", {}, id="by no engine"),
        pytest.param(
            _config({**SANDBOXED, OWN: "unconfined"}), f"{SHIM}/moby/ID", {}, id="Docker's"
        ),
        pytest.param(_config({OWN: "unconfined"}), IN_CRI, {}, id="ctr in CRI's namespace"),
        pytest.param(
            _config(
                {**SANDBOXED, "io.kubernetes.cri.container-type": "sandbox", OWN: "unconfined"}
            ),
            IN_CRI,
            {},
            id="the sandbox itself",
        ),
    ],
)
def test_the_sandboxs_config_is_read_only_if_it_decides(
    config: Json, bundle: str, changes: Json
) -> None:
    decision = _decide(config, bundle, made_with=_never, **changes)
    assert decision.action in ("inject", "leave", "keep")


def test_without_a_readable_sandbox_no_annotation_counts() -> None:
    config = _config({**SANDBOXED, OWN: "unconfined"})
    decision = _decide(config, IN_CRI)
    assert (decision.action, decision.ignored) == ("inject", OWN)
    assert "is unknown, as nobody looked." in decision.reason


def test_a_late_precompiled_filter_is_refused() -> None:
    config = _config({**SANDBOXED, CRUN_KEY: "x"})
    first = {CRUN_KEY: "x"}
    assert _decide(config, IN_CRI, kind="crun", made_with=lambda: first).action == "keep"
    later: list[Json] = [{}, {CRUN_KEY: "y"}]
    for before in later:
        with pytest.raises(Refusal, match="were different when its sandbox was made"):
            _decide(config, IN_CRI, kind="crun", made_with=before.copy)
    with pytest.raises(Refusal, match="nobody looked"):
        _decide(config, IN_CRI, kind="crun")


@pytest.mark.parametrize(
    ("annotations", "bundle", "counts"),
    [
        pytest.param({**CRI, IMAGE: "trusted/x"}, IN_CRI, True, id="a container"),
        pytest.param({**CRI, TYPE: "sandbox", IMAGE: "trusted/x"}, IN_CRI, False, id="a sandbox"),
        pytest.param({IMAGE: "trusted/x"}, IN_CRI, False, id="neither"),
        pytest.param(
            {CRIO_NAME: "app", **CRIO_IMAGE, MANAGER: "cri-o"}, "/s", True, id="a container, CRI-O"
        ),
        pytest.param(
            {CRIO_NAME: "POD", **CRIO_IMAGE, MANAGER: "cri-o"}, "/s", False, id="a sandbox, CRI-O"
        ),
    ],
)
def test_only_a_container_has_an_image(annotations: Json, bundle: str, counts: bool) -> None:
    rules = [_rule(image=["trusted/*"])]
    config = _config(annotations)
    mode = _decide(config, bundle, rules=rules, only="crio").mode
    assert mode == ("audit" if counts else "enforce")


def test_a_name_that_the_engine_did_not_set_chooses_no_annotation_key() -> None:
    forged = {**CRI, TYPE: "sandbox", f"{OWN}.app": "unconfined"}
    assert _decide(_config(forged), IN_CRI).action == "inject"
    asks = {"io.kubernetes.cri.container-name": "debugger", f"{OWN}.debugger": "unconfined"}
    in_crio = {CRIO_NAME: "app", MANAGER: "cri-o", **asks}
    assert _decide(_config(in_crio), "/s/ID/userdata", only="crio").action == "inject"


def test_a_crio_sandbox_is_crios_whatever_its_pod_claims() -> None:
    """Of a sandbox the pod's annotations come after CRI-O's own, its labels after those."""
    forged = {
        CRIO_NAME: "POD",
        "io.kubernetes.pod.namespace": "batch-7",
        MANAGER: "libpod",
        "io.kubernetes.cri-o.ContainerType": "container",
    }
    rules = [_rule(namespace=["batch-*"])]
    assert _decide(_config(forged), "/s/ID/userdata", rules=rules, only="crio").mode == "audit"
    assert _decide(_config(forged), "/s/ID/userdata", rules=rules).mode == "enforce"


CRIO_RUN = "/run/containers/storage/overlay-containers"
CRIO_POD = {
    MANAGER: "cri-o",
    CRIO_NAME: "app",
    "io.kubernetes.pod.namespace": "batch-7",
    "io.kubernetes.pod.name": "web",
    **CRIO_IMAGE,
}


@pytest.mark.parametrize(
    ("bundle", "pid_file", "counts"),
    [
        pytest.param(f"{CRIO_RUN}/ID/userdata", "{}/pidfile", True, id="CRI-O"),
        pytest.param(f"{CRIO_RUN}/ID/userdata/", f"{CRIO_RUN}/ID/userdata/pidfile", True, id="/"),
        pytest.param("/x/vfs-containers/ID/userdata", "{}/pidfile", True, id="another driver"),
        pytest.param(
            "/var/lib/containers/storage/overlay-containers/ID/userdata",
            f"{CRIO_RUN}/ID/userdata/pidfile",
            False,
            id="Podman",
        ),
        pytest.param(f"{CRIO_RUN}/ID/userdata", "", False, id="no pid file"),
        pytest.param(f"{CRIO_RUN}/other/userdata", "{}/pidfile", False, id="another's bundle"),
        pytest.param(f"{CRIO_RUN}/ID/elsewhere", "{}/pidfile", False, id="another directory"),
        pytest.param("/run/containers/ID/userdata", "{}/pidfile", False, id="another storage"),
        pytest.param("ID/userdata", "{}/pidfile", False, id="relative"),
        pytest.param("userdata", "{}/pidfile", False, id="short"),
        pytest.param("", "/pidfile", False, id="none"),
    ],
)
def test_crios_names_count_where_its_paths_show_that_it_calls(
    bundle: str, pid_file: str, counts: bool
) -> None:
    placed = pid_file.format(bundle)
    for rule in (_rule(namespace=["batch-*"]), _rule(pod=["web"]), _rule(image=["trusted/*"])):
        decided = _decide(_config(CRIO_POD), bundle, pid_file=placed, rules=[rule])
        assert decided.mode == ("audit" if counts else "enforce")


@pytest.mark.parametrize("manager", ["libpod", "", None])
def test_crios_paths_alone_make_no_identity(manager: str | None) -> None:
    """Podman has them if whoever calls it gives it one directory for two; so it says libpod."""
    claims = {key: value for key, value in {**CRIO_POD, MANAGER: manager}.items() if value}
    rules = [_rule(namespace=["batch-*"])]
    bundle = f"{CRIO_RUN}/ID/userdata"
    decided = _decide(_config(claims), bundle, pid_file=f"{bundle}/pidfile", rules=rules)
    assert decided.mode == "enforce"


def test_the_owner_chooses_the_default_profile() -> None:
    default = {"profile": "localhost/ours.json", "mode": "enforce"}
    assert _decide(_config(), default=default).profile == "localhost/ours.json"
    asked = _config({OWN: "runtime-default"})
    assert _decide(asked, default=default).profile == "containerd@1.7.24"


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
def test_these_configs_are_refused(config: Json) -> None:
    with pytest.raises(Refusal):
        _decide(config)


POD = {
    "io.kubernetes.cri.sandbox-namespace": "batch-7",
    "io.kubernetes.cri.sandbox-name": "job-x",
    "io.kubernetes.cri.image-name": "registry/app:1",
    **CRI,
}
CRIO = {
    "io.container.manager": "cri-o",
    "io.kubernetes.pod.namespace": "batch-7",
    "io.kubernetes.pod.name": "job-x",
    "io.kubernetes.container.name": "app",
    "io.kubernetes.cri-o.ImageName": "registry/app:1",
}


def _rule(**selectors: Any) -> Json:
    return {"name": "r", "mode": "audit", **selectors}


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        pytest.param(_rule(), True, id="a rule for all"),
        pytest.param(_rule(namespace=["batch-*"]), True, id="its namespace"),
        pytest.param(_rule(namespace=["web", "batch-?"]), True, id="one of two patterns"),
        pytest.param(_rule(namespace=["batch"]), False, id="a whole name, not a part"),
        pytest.param(_rule(pod=["job-*"]), True, id="its pod"),
        pytest.param(_rule(container=["app"]), True, id="its container"),
        pytest.param(_rule(image=["*/app:*"]), True, id="its image"),
        pytest.param(_rule(engine=["containerd", "crio"]), True, id="its engine"),
        pytest.param(_rule(engine=["docker"]), False, id="another engine"),
        pytest.param(_rule(handler=["runc-wrap"]), True, id="its handler"),
        pytest.param(_rule(handler=["strict"]), False, id="another handler"),
        pytest.param(_rule(pod=["job-x"], image=["no"]), False, id="all selectors must match"),
        pytest.param(_rule(until=101), True, id="before the end"),
        pytest.param(_rule(until=100), False, id="at the end"),
        pytest.param(_rule(percent=0), False, id="nobody's share"),
        pytest.param(_rule(percent=100), True, id="everybody's share"),
    ],
)
@pytest.mark.parametrize(
    ("annotations", "bundle"), [(POD, f"{SHIM}/k8s.io/ID"), (CRIO, "/s/ID/userdata")]
)
def test_each_selector_matches_its_own_containers(
    rule: Json, annotations: Json, bundle: str, holds: bool
) -> None:
    decision = _decide(_config(annotations), bundle, now=100, rules=[rule], only="crio")
    assert decision.mode == ("audit" if holds else "enforce")
    assert decision.rule == ("r" if holds else None)


@pytest.mark.parametrize("bundle", [f"{SHIM}/moby/ID", f"{SHIM}/default/ID", "/s/ID/userdata"])
def test_an_identity_that_could_be_forged_matches_no_rule(bundle: str) -> None:
    for manager in ("libpod", "cri-o"):
        _check_nobody({**POD, **CRIO, "io.container.manager": manager}, bundle)


def _check_nobody(annotations: Json, bundle: str) -> None:
    for selector in ("namespace", "pod", "container", "image"):
        rules = [_rule(**{selector: ["?*"]})]
        assert _decide(_config(annotations), bundle, rules=rules).mode == "enforce"


def test_the_first_rule_wins_and_may_name_a_profile() -> None:
    rules = [_rule(profile="localhost/x"), _rule(mode="off")]
    decision = _decide(_config(), rules=rules)
    assert (decision.mode, decision.profile, decision.rule) == ("audit", "localhost/x", "r")


@pytest.mark.parametrize(
    ("config", "changes", "reason"),
    [
        (
            _privileged(),
            {"privileged": "audit"},
            "The container is privileged, and the policy",
        ),
        (_config({OWN: "runtime-default"}), {}, f'The annotation "{OWN}" asks for it.'),
        (_config(), {"rules": [_rule()]}, 'The rule "r" applies.'),
        (_config(), {"rules": [_rule(mode="off")]}, 'The rule "r" '),
        (_config(), {}, "The config has no seccomp profile and nobody opted out."),
    ],
    ids=["privileged", "an annotation", "a rule", "a rule that is off", "nothing"],
)
def test_the_reason_is_what_decided(config: Json, changes: Json, reason: str) -> None:
    assert _decide(config, **changes).reason.startswith(reason)


def test_a_percentage_draw_is_stable_over_restarts_and_about_as_large_as_set() -> None:
    rules = [_rule(percent=25)]
    drawn = [_decide(_config(), name=f"c{n}", rules=rules).mode for n in range(1000)]
    assert drawn == [_decide(_config(), name=f"c{n}", rules=rules).mode for n in range(1000)]
    assert 200 < drawn.count("audit") < 300
    restarted = {**POD, "io.kubernetes.cri.sandbox-name": "job-y"}
    for later in (POD, restarted):
        first = _decide(_config(POD), f"{SHIM}/k8s.io/1", "1", rules=rules).mode
        assert _decide(_config(later), f"{SHIM}/k8s.io/2", "2", rules=rules).mode == first


@pytest.mark.parametrize(
    ("opt_out", "counts"),
    [
        ({"annotations": True, "namespaces": ["*"], "images": ["*"]}, True),
        ({"annotations": False, "namespaces": ["*"], "images": ["*"]}, False),
        ({"annotations": True, "namespaces": ["batch-*"], "images": ["*"]}, True),
        ({"annotations": True, "namespaces": ["web"], "images": ["*"]}, False),
        ({"annotations": True, "namespaces": [], "images": ["*"]}, False),
        ({"annotations": True, "namespaces": ["*"], "images": ["registry/*"]}, True),
        ({"annotations": True, "namespaces": ["*"], "images": ["other/*"]}, False),
    ],
)
def test_whose_annotations_count(opt_out: Json, counts: bool) -> None:
    config = _config({**POD, OWN: "unconfined"})
    decision = _decide(config, f"{SHIM}/k8s.io/ID", opt_out=opt_out)
    assert decision.action == ("leave" if counts else "inject")
    assert decision.ignored == (None if counts else OWN)
    assert decision.declared == ("unconfined" if counts else "unset")


def test_an_annotation_that_does_not_count_may_be_invalid() -> None:
    nobody = {"annotations": False, "namespaces": ["*"], "images": ["*"]}
    assert _decide(_config({OWN: "nonsense"}), opt_out=nobody).action == "inject"


def test_named_namespaces_exclude_containers_without_a_namespace() -> None:
    named = {"annotations": True, "namespaces": ["batch-*"], "images": ["*"]}
    config = _config({**POD, OWN: "unconfined"})
    assert _decide(config, f"{SHIM}/moby/ID", opt_out=named).action == "inject"


@pytest.mark.parametrize(
    ("privileged", "action", "mode"),
    [("leave", "leave", None), ("audit", "inject", "audit"), ("confine", "inject", "enforce")],
)
def test_the_policy_decides_about_a_privileged_container(
    privileged: str, action: str, mode: str | None
) -> None:
    decision = _decide(_privileged(), privileged=privileged)
    assert (decision.action, decision.mode) == (action, mode)
    assert decision.declared == "privileged"


def test_a_privileged_container_may_opt_out_of_being_confined() -> None:
    config = {**_privileged(), "annotations": {OWN: "unconfined"}}
    assert _decide(config, privileged="confine").action == "leave"


BESIDE: Json = {
    "default": {"profile": "runtime-default", "mode": "enforce", "candidate": "next"},
    "candidates": {"next": "d" * 64},
}


@pytest.mark.parametrize(
    ("annotations", "changes", "candidate"),
    [
        ({}, {}, "next"),
        ({OWN: "runtime-default"}, {}, "next"),
        ({OWN: "localhost/a.json"}, {}, None),  # the policy's candidate is not for that
        ({}, {"rules": [{"name": "a", "mode": "audit"}]}, None),
        (
            {},
            {"rules": [{"name": "a", "candidate": "other"}], "candidates": {"other": "e"}},
            "other",
        ),
        ({}, {"default": {"profile": "runtime-default", "mode": "enforce"}}, None),
    ],
)
def test_a_candidate_is_for_containers_that_get_the_policys_profile(
    annotations: Json, changes: Json, candidate: str | None
) -> None:
    found = _decide(_config(annotations), **{**BESIDE, **changes})
    assert (found.action, found.candidate) == ("inject", candidate)
    assert bool(found.candidate_digest) == bool(candidate)


def test_a_privileged_container_in_audit_has_no_candidate() -> None:
    config = _config({"io.podman.annotations.privileged": "TRUE"})
    audited = _decide(config, privileged="audit", only="podman", **BESIDE)
    if audited.mode == "audit":
        assert audited.candidate is None
