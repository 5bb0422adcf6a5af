"""The decision as a table: config and command line, and the result."""

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
        **dict.fromkeys(("containerd", "unknown"), "containerd@1.7.24"),
        **dict.fromkeys(("podman", "buildah"), "containers-common"),
        "docker": "moby@26.1.5",
        "crio": "crio",
    },
}
OWN = "runc-wrap/seccomp"
OLD = "seccomp.security.alpha.kubernetes.io/pod"
OLD_OF = "container.seccomp.security.alpha.kubernetes.io/"
CRI = {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "app"}
SHIM = "/run/containerd/io.containerd.runtime.v2.task"
IMAGE, TYPE = "io.kubernetes.cri.image-name", "io.kubernetes.cri.container-type"
CRIO_NAME, MANAGER = "io.kubernetes.container.name", "io.container.manager"
CRUN_KEY = "run.oci.seccomp_bpf_data"
PODMAN_SAYS = "io.podman.annotations.privileged"
CRIO_TYPE = "io.kubernetes.cri-o.ContainerType"
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
    process = {"capabilities": {"bounding": sorted(NODE_HAS - set(without))}}
    sysfs = {"destination": "/sys", "type": "sysfs", "options": ["nosuid", "rw"], **(sys or {})}
    return {"linux": linux, "mounts": [sysfs, *(more or [])], "process": process}


SANDBOX = {TYPE: "sandbox"}
DEFAULT, BY_NAME = "containerd@1.7.24", f"{OWN}.app"
A, B, OUT, GIVEN = "localhost/a", "localhost/b", "unconfined", "runtime-default"
ASKS_PODMAN = "io.podman.annotations.seccomp"
NONE_THEN_ALL = {"devices": [NO_DEVICES, *ALL_DEVICES["devices"]]}
ALL_THEN_NONE = {"devices": [*ALL_DEVICES["devices"], NO_DEVICES]}
ALL_BUT_ONE = {"devices": [*ALL_DEVICES["devices"], NO_NULL]}
DECIDED: dict[str, dict[str, Json]] = {
    "inject": {
        "an empty linux section": {"linux": {}},
        "no seccomp": _config(),
        "null seccomp": _config(seccomp=None),
        "empty seccomp": _config(seccomp={}),
        "runc: no profile": _config(seccomp={"architectures": ["SCMP_ARCH_X86"]}),
        "blank": _config(seccomp={"defaultAction": "", "syscalls": []}),
        "Podman's path": _config({ASKS_PODMAN: "/p.json"}),
        "crun's filter under runc": _config({CRUN_KEY: "x"}),
        "for another one": _config({OWN + ".x": "unconfined", **CRI}),
        "the container's key beats the pod's": _config({BY_NAME: GIVEN, OWN: OUT, **CRI}),
        "an old one, too": _config({OLD_OF + "app": "runtime/default", OLD: OUT, **CRI}),
        "our key beats the old ones": _config({OWN: GIVEN, OLD_OF + "app": OUT, **CRI}),
        "one capability less": _privileged("CAP_SYSLOG"),
        "masked paths": _privileged(maskedPaths=["/x"]),
        "read-only paths": _privileged(readonlyPaths=["/x"]),
        "sysfs read-only": _privileged(sys={"options": ["ro"]}),
        "/sys bound, and nothing else said": _privileged(sys=BOUND),
        "cgroups ro": _privileged(sys=BOUND, more=[{**CGROUP, "options": ["ro"]}]),
        "all devices, then none": _privileged(sys=BOUND, resources=ALL_THEN_NONE),
        "Podman's word from nobody": _config({PODMAN_SAYS: "TRUE"}),
        "CRI-O's word from nobody": _config({CRIO_SAYS: "true"}),
        "a sandbox": _config(SANDBOX),
    },
    "keep": {
        "a profile": _config(seccomp={"defaultAction": "SCMP_ACT_ALLOW"}),
        "rules only": _config(seccomp={"syscalls": [{}]}),
    },
    "leave": {
        "no linux section": {},
        "a null linux section": {"linux": None},
        "opted out": _config({OWN: "unconfined"}),
        "opted out by Kubernetes' old key": _config({OLD: "unconfined"}),
        "Podman's opt-out": _config({ASKS_PODMAN: "unconfined"}),
        "for the container": _config({OWN + ".app": "unconfined", **CRI}),
        "privileged, less what the node lacks": _privileged(),
        "sysfs without options": _privileged(sys={"options": None}),
        "sysfs at /sys/": _privileged(sys={"destination": "/sys/"}),
        "/sys bound, cgroups rw": _privileged(sys=BOUND, more=[CGROUP]),
        "all devices": _privileged(sys=BOUND, resources=ALL_DEVICES),
        "no devices, then all": _privileged(sys=BOUND, resources=NONE_THEN_ALL),
        "all devices, then not one of them": _privileged(sys=BOUND, resources=ALL_BUT_ONE),
    },
}


@pytest.mark.parametrize("action", DECIDED)
def test_each_config_gets_its_decision(action: str) -> None:
    for name, config in DECIDED[action].items():
        decision = _decide(config)
        assert decision.action == action, name
        assert (decision.profile is not None) == (action == "inject"), name
        assert decision.reason.endswith(".")


def test_an_engines_privilege_annotation_counts_where_annotations_do() -> None:
    narrower: list[Json] = [{"annotations": False}, {"namespaces": ["x"]}, {"images": []}]
    rows: list[tuple[Json, list[str], str]] = [
        ({MANAGER: "libpod", PODMAN_SAYS: "TRUE"}, [], "leave"),
        ({MANAGER: "libpod", PODMAN_SAYS: "TRUE"}, ["/proc/kcore"], "inject"),
        ({MANAGER: "cri-o", CRIO_SAYS: "true", CRIO_TYPE: "sandbox"}, [], "leave"),
        ({MANAGER: "cri-o", CRIO_SAYS: "true"}, [], "inject"),
    ]
    for annotations, masked, action in rows:
        config = {**_privileged(sys=BOUND, maskedPaths=masked), "annotations": annotations}
        assert _decide(config).action == action
        few = {**_privileged("CAP_SYSLOG", sys=BOUND), "annotations": annotations}
        assert _decide(few).action == "inject"
        for opt_out in narrower:
            deaf = {**POLICY["opt_out"], **opt_out}
            assert _decide(config, opt_out=deaf).action == "inject"
            assert _decide(config, opt_out=deaf, only="crio").action == "inject"
            assert _decide(_privileged(), opt_out=deaf).action == "leave"


def test_a_precompiled_filter_is_refused_if_the_containers_annotations_do_not_count() -> None:
    overlay = {"deny": ["mkdir"], "deny_sockets": [], "existing": False}
    for block in (None, {"defaultAction": "SCMP_ACT_ALLOW"}):
        config = _config({"run.oci.seccomp_bpf_data": "x"}, seccomp=block)
        with pytest.raises(Refusal, match="do not count, or"):
            _decide(config, kind="crun", opt_out=DEAF)
        with pytest.raises(Refusal, match="an overlay is in force"):
            _decide(config, kind="crun", overlay=overlay)


IN_CRI, IN_DOCKER = f"{SHIM}/k8s.io/ID", f"{SHIM}/moby/ID"
CHOSEN: dict[str, tuple[Json, str, str, str]] = {
    "containerd": ({}, IN_CRI, "ID", "containerd@1.7.24"),
    "Docker": ({}, IN_DOCKER, "ID", "moby@26.1.5"),
    "Docker, though it says Podman": ({MANAGER: "libpod"}, IN_DOCKER, "ID", "moby@26.1.5"),
    "Podman": ({MANAGER: "libpod"}, "/s/ID/userdata", "ID", "containers-common"),
    "CRI-O": ({MANAGER: "cri-o"}, "/s/ID/userdata", "ID", "crio"),
    "Buildah": ({}, "/var/tmp/buildah12", "buildah-buildah12", "containers-common"),
    "containerd, moved": (CRI, "/elsewhere", "ID", "containerd@1.7.24"),
    "by hand": ({}, "", "ID", "containerd@1.7.24"),
    "a file": ({OWN: "localhost/a/b.json"}, "", "ID", "localhost/a/b.json"),
    "a file, old key": ({OLD: "localhost/b.json"}, "", "ID", "localhost/b.json"),
    "docker/default": ({OLD: "docker/default"}, "", "ID", "containerd@1.7.24"),
    "asked for": ({OWN: "runtime-default"}, IN_DOCKER, "ID", "moby@26.1.5"),
}


def test_each_annotation_chooses_its_profile() -> None:
    for case, (annotations, bundle, name, profile) in CHOSEN.items():
        assert _decide(_config(annotations), bundle, name).profile == profile, case


SANDBOXED = {**CRI, "io.kubernetes.cri.sandbox-id": "S"}
CRIO_IMAGE = {"io.kubernetes.cri-o.ImageName": "trusted/x"}


SINCE_THE_SANDBOX: dict[str, tuple[Json, Json, str | None, str | None]] = {
    "the same": ({OWN: OUT}, {OWN: OUT}, None, None),
    "it came late": ({}, {OWN: OUT}, DEFAULT, OWN),
    "an old key, too": ({}, {OLD: OUT}, DEFAULT, OLD),
    "another profile": ({OWN: A}, {OWN: B}, A, OWN),
    "nonsense comes late": ({OWN: OUT}, {OWN: "no word"}, None, OWN),
    "it was taken away": ({OWN: OUT}, {}, DEFAULT, None),
    "a stronger key comes late": ({OLD: OUT}, {OWN: B}, None, OWN),
    "the container's key comes late": ({OWN: A}, {OWN: A, BY_NAME: OUT}, A, BY_NAME),
    "the container's goes, the pod's opts out": ({OWN: OUT, BY_NAME: A}, {OWN: OUT}, A, OWN),
}


def test_the_sandboxs_original_annotations_count() -> None:
    for case, (first, now, profile, ignored) in SINCE_THE_SANDBOX.items():
        config = _config({**SANDBOXED, **now})
        decision = _decide(config, IN_CRI, made_with=first.copy)
        assert (decision.profile, decision.ignored) == (profile, ignored), case
        assert decision.action == ("inject" if profile else "leave")
        is_told = "were different when its sandbox was made" in decision.reason
        assert is_told == (ignored is not None)


def _never() -> Json:
    raise AssertionError("nobody needs to know")


ASKED = {**SANDBOXED, OWN: "unconfined"}
DEAF = {"annotations": False, "namespaces": ["*"], "images": ["*"]}
LATE = {**POLICY["opt_out"], "late": "honour"}
NOT_READ: dict[str, tuple[Json, str, Json]] = {
    "no annotation asks": (_config(SANDBOXED), IN_CRI, {}),
    "its own profile": (_config(ASKED, seccomp={"defaultAction": "SCMP_ACT_LOG"}), IN_CRI, {}),
    "annotations do not count": (_config(ASKED), IN_CRI, {"opt_out": DEAF}),
    "late ones count": (_config(ASKED), IN_CRI, {"opt_out": LATE}),
    "by no engine": (_config(ASKED), "/b", {}),
    "Docker's": (_config(ASKED), IN_DOCKER, {}),
    "ctr in CRI's namespace": (_config({OWN: "unconfined"}), IN_CRI, {}),
    "the sandbox itself": (_config({**ASKED, **SANDBOX}), IN_CRI, {}),
}


def test_the_sandboxs_config_is_read_only_if_it_decides() -> None:
    for case, (config, bundle, changes) in NOT_READ.items():
        decision = _decide(config, bundle, made_with=_never, **changes)
        assert decision.action in ("inject", "leave", "keep"), case


def test_without_a_readable_sandbox_no_annotation_counts() -> None:
    decision = _decide(_config(ASKED), IN_CRI)
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


TRUSTED = {IMAGE: "trusted/x"}
WITH_IMAGE: dict[str, tuple[Json, str, bool]] = {
    "a container": ({**CRI, **TRUSTED}, IN_CRI, True),
    "a sandbox": ({**CRI, TYPE: "sandbox", **TRUSTED}, IN_CRI, False),
    "neither": (TRUSTED, IN_CRI, False),
    "a container, CRI-O": ({CRIO_NAME: "app", **CRIO_IMAGE, MANAGER: "cri-o"}, "/s", True),
    "a sandbox, CRI-O": ({CRIO_NAME: "POD", **CRIO_IMAGE, MANAGER: "cri-o"}, "/s", False),
}


def test_only_a_container_has_an_image() -> None:
    for case, (annotations, bundle, counts) in WITH_IMAGE.items():
        rules = [_rule(image=["trusted/*"])]
        config = _config(annotations)
        mode = _decide(config, bundle, rules=rules, only="crio").mode
        assert mode == ("audit" if counts else "enforce"), case


def test_a_name_that_the_engine_did_not_set_chooses_no_annotation_key() -> None:
    forged = {**CRI, TYPE: "sandbox", f"{OWN}.app": "unconfined"}
    assert _decide(_config(forged), IN_CRI).action == "inject"
    asks = {"io.kubernetes.cri.container-name": "debugger", f"{OWN}.debugger": "unconfined"}
    in_crio = {CRIO_NAME: "app", MANAGER: "cri-o", **asks}
    assert _decide(_config(in_crio), "/s/ID/userdata", only="crio").action == "inject"


def test_a_crio_sandbox_is_crios_whatever_its_pod_claims() -> None:
    """Of a sandbox the pod's annotations come after CRI-O's own, its labels after those."""
    forged = {**CRIO, CRIO_NAME: "POD", MANAGER: "libpod", CRIO_TYPE: "container"}
    rules = [_rule(namespace=["batch-*"])]
    assert _decide(_config(forged), "/s/ID/userdata", rules=rules, only="crio").mode == "audit"
    assert _decide(_config(forged), "/s/ID/userdata", rules=rules).mode == "enforce"


CRIO_RUN = "/run/containers/storage/overlay-containers"
CRIO = {
    MANAGER: "cri-o",
    CRIO_NAME: "app",
    "io.kubernetes.pod.namespace": "batch-7",
    "io.kubernetes.pod.name": "job-x",
    "io.kubernetes.cri-o.ImageName": "registry/app:1",
}


IN_CRIO, IN_PODMAN = f"{CRIO_RUN}/ID/userdata", "/var/lib/containers/storage/overlay-containers"
CALLED_BY: dict[str, tuple[str, str, bool]] = {
    "CRI-O": (IN_CRIO, "{}/pidfile", True),
    "/": (f"{IN_CRIO}/", f"{IN_CRIO}/pidfile", True),
    "another driver": ("/x/vfs-containers/ID/userdata", "{}/pidfile", True),
    "Podman": (f"{IN_PODMAN}/ID/userdata", f"{IN_CRIO}/pidfile", False),
    "no pid file": (IN_CRIO, "", False),
    "another's bundle": (f"{CRIO_RUN}/other/userdata", "{}/pidfile", False),
    "another directory": (f"{CRIO_RUN}/ID/elsewhere", "{}/pidfile", False),
    "another storage": ("/run/containers/ID/userdata", "{}/pidfile", False),
    "relative": ("ID/userdata", "{}/pidfile", False),
    "short": ("userdata", "{}/pidfile", False),
    "none": ("", "/pidfile", False),
}


def test_crios_names_count_where_its_paths_show_that_it_calls() -> None:
    rules = [_rule(namespace=["batch-*"]), _rule(pod=["job-x"]), _rule(image=["registry/*"])]
    for case, (bundle, pid_file, counts) in CALLED_BY.items():
        placed = pid_file.format(bundle)
        for rule in rules:
            decided = _decide(_config(CRIO), bundle, pid_file=placed, rules=[rule])
            assert decided.mode == ("audit" if counts else "enforce"), case


@pytest.mark.parametrize("manager", ["libpod", "", None])
def test_crios_paths_alone_make_no_identity(manager: str | None) -> None:
    """Podman has them if whoever calls it gives it one directory for two; so it says libpod."""
    claims = {key: value for key, value in {**CRIO, MANAGER: manager}.items() if value}
    rules = [_rule(namespace=["batch-*"])]
    bundle = f"{CRIO_RUN}/ID/userdata"
    decided = _decide(_config(claims), bundle, pid_file=f"{bundle}/pidfile", rules=rules)
    assert decided.mode == "enforce"


def test_the_owner_chooses_the_default_profile() -> None:
    default = {"profile": "localhost/ours.json", "mode": "enforce"}
    assert _decide(_config(), default=default).profile == "localhost/ours.json"
    asked = _config({OWN: "runtime-default"})
    assert _decide(asked, default=default).profile == "containerd@1.7.24"


INVALID: dict[str, Json] = {
    "linux is a list": {"linux": []},
    "linux is a string": {"linux": "x"},
    "seccomp is a string": _config(seccomp="x"),
    "seccomp is a list": _config(seccomp=[]),
    "annotations are a list": {"linux": {}, "annotations": []},
    "an annotation is a number": _config({"a": 1}),
    "an old value under our key": _config({OWN: "runtime/default"}),
    "a value in the wrong case": _config({OWN: "Unconfined"}),
    "an empty value": _config({OWN: ""}),
    "an unknown value under an old key": _config({OLD: "typo"}),
}


def test_these_configs_are_refused() -> None:
    for config in INVALID.values():
        with pytest.raises(Refusal):
            _decide(config)


POD = {
    "io.kubernetes.cri.sandbox-namespace": "batch-7",
    "io.kubernetes.cri.sandbox-name": "job-x",
    "io.kubernetes.cri.image-name": "registry/app:1",
    **CRI,
}


def _rule(**selectors: Any) -> Json:
    return {"name": "r", "mode": "audit", **selectors}


@pytest.mark.parametrize(("annotations", "bundle"), [(POD, IN_CRI), (CRIO, "/s/ID/userdata")])
def test_each_selector_matches_its_own_containers(annotations: Json, bundle: str) -> None:
    for rule, holds in (
        (_rule(), True),
        (_rule(namespace=["batch-*"]), True),
        (_rule(namespace=["web", "batch-?"]), True),
        (_rule(namespace=["batch"]), False),  # a whole name, not a part
        (_rule(pod=["job-*"]), True),
        (_rule(container=["app"]), True),
        (_rule(image=["*/app:*"]), True),
        (_rule(engine=["containerd", "crio"]), True),
        (_rule(engine=["docker"]), False),
        (_rule(handler=["runc-wrap"]), True),
        (_rule(handler=["strict"]), False),
        (_rule(pod=["job-x"], image=["no"]), False),
        (_rule(until=101), True),
        (_rule(until=100), False),
        (_rule(percent=0), False),
        (_rule(percent=100), True),
    ):
        decision = _decide(_config(annotations), bundle, now=100, rules=[rule], only="crio")
        assert decision.mode == ("audit" if holds else "enforce"), rule
        assert decision.rule == ("r" if holds else None), rule


@pytest.mark.parametrize("bundle", [IN_DOCKER, f"{SHIM}/default/ID", "/s/ID/userdata"])
def test_an_identity_that_could_be_forged_matches_no_rule(bundle: str) -> None:
    for manager in ("libpod", "cri-o"):
        forged = _config({**POD, **CRIO, MANAGER: manager})
        for selector in ("namespace", "pod", "container", "image"):
            rules = [_rule(**{selector: ["?*"]})]
            assert _decide(forged, bundle, rules=rules).mode == "enforce"


def test_the_first_rule_wins_and_may_name_a_profile() -> None:
    rules = [_rule(profile="localhost/x"), _rule(mode="off")]
    decision = _decide(_config(), rules=rules)
    assert (decision.mode, decision.profile, decision.rule) == ("audit", "localhost/x", "r")


def test_the_reason_is_what_decided() -> None:
    rows: list[tuple[Json, Json, str]] = [
        (_privileged(), {"privileged": "audit"}, "The container is privileged, and the policy"),
        (_config({OWN: "runtime-default"}), {}, f'The annotation "{OWN}" asks for it.'),
        (_config(), {"rules": [_rule()]}, 'The rule "r" applies.'),
        (_config(), {"rules": [_rule(mode="off")]}, 'The rule "r" '),
        (_config(), {}, "The config has no seccomp profile and nobody opted out."),
    ]
    for config, changes, reason in rows:
        assert _decide(config, **changes).reason.startswith(reason)


def test_whose_annotations_count() -> None:
    config = _config({**POD, OWN: "unconfined"})
    rows: list[tuple[Json, bool]] = [
        ({}, True),
        ({"annotations": False}, False),
        ({"namespaces": ["batch-*"]}, True),
        ({"namespaces": ["web"]}, False),
        ({"namespaces": []}, False),
        ({"images": ["registry/*"]}, True),
        ({"images": ["other/*"]}, False),
    ]
    for opt_out, counts in rows:
        decision = _decide(config, IN_CRI, opt_out={**POLICY["opt_out"], **opt_out})
        assert decision.action == ("leave" if counts else "inject"), opt_out
        assert decision.ignored == (None if counts else OWN)
        assert decision.declared == ("unconfined" if counts else "unset")
        assert ("annotations do not count" in decision.reason) != counts
    assert _decide(_config({OWN: "nonsense"}), opt_out=DEAF).action == "inject"
    named = {**POLICY["opt_out"], "namespaces": ["batch-*"]}  # which Docker's containers have not
    assert _decide(config, IN_DOCKER, opt_out=named).action == "inject"


def test_the_policy_decides_about_a_privileged_container() -> None:
    for privileged, mode in (("leave", None), ("audit", "audit"), ("confine", "enforce")):
        decision = _decide(_privileged(), privileged=privileged)
        assert (decision.action, decision.mode) == ("inject" if mode else "leave", mode)
        assert decision.declared == "privileged"
    asked = {**_privileged(), "annotations": {OWN: "unconfined"}}
    assert _decide(asked, privileged="confine").action == "leave"


BESIDE: Json = {
    "default": {"profile": "runtime-default", "mode": "enforce", "candidate": "next"},
    "candidates": {"next": "d" * 64},
}


def test_a_candidate_is_for_containers_that_get_the_policys_profile() -> None:
    other = {"rules": [{"name": "a", "candidate": "other"}], "candidates": {"other": "e"}}
    rows: list[tuple[Json, Json, str | None]] = [
        ({}, {}, "next"),
        ({OWN: "runtime-default"}, {}, "next"),
        ({OWN: "localhost/a.json"}, {}, None),  # the policy's candidate is not for that
        ({}, {"rules": [{"name": "a", "mode": "audit"}]}, None),
        ({}, other, "other"),
        ({}, {"default": {"profile": "runtime-default", "mode": "enforce"}}, None),
    ]
    for annotations, changes, candidate in rows:
        found = _decide(_config(annotations), **{**BESIDE, **changes})
        assert (found.action, found.candidate) == ("inject", candidate)
        assert bool(found.candidate_digest) == bool(candidate)
    audited = _decide(_privileged(), privileged="audit", **BESIDE)
    assert (audited.mode, audited.candidate) == ("audit", None)


def test_what_a_candidate_in_observe_is_not_for_is_enforced() -> None:
    default = {**BESIDE["default"], "mode": "observe"}
    for asked, mode in (("runtime-default", "observe"), ("localhost/a.json", "enforce")):
        assert _decide(_config({OWN: asked}), **{**BESIDE, "default": default}).mode == mode
